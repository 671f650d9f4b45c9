/**
 * `berth debug`: a shell with tools beside a container that has none. A running one is joined: its processes, network
 * and IPC are seen, its files are below /target. Of one that ended, and of an image, the files are there to look at.
 * Neither the container nor its image is changed.
 */
import type { ContainerInspect } from '#api/types/container.ts';
import { ApiError } from '#api/client/api-error.ts';
import { commitContainer } from '#api/client/container-files.ts';
import { inspectContainer } from '#api/client/containers.ts';
import { inspectImage, removeImage } from '#api/client/images.ts';
import { type CommandContext, defineCommand } from '../command.ts';
import { run } from '../container/run.ts';
import { text } from '../flags/flag-spec.ts';
import { imageOfPrograms, loadHostImage } from '../image/from-host.ts';
import { showProgress } from '../image/show-progress.ts';
import { findOnHost } from './tools.ts';

const TOOLS_IMAGE = 'berth.local/debug-tools:latest';
/** Of a process namespace that was joined, the first process is the container's. */
const RUNNING_ROOT = '/proc/1/root';
const TARGET = '/target';

export const debug = defineCommand({
  operands: 'CONTAINER|IMAGE',
  count: [1, 1],
  flags: {
    command: text('Run this command instead of a shell', { shorthand: 'c' }),
    image: text('Image with the tools (default: made of programs of this machine, once)'),
    user: text('Username or UID of the tools (default root)', { shorthand: 'u' }),
  },
  examples: ['berth debug web', "berth debug -c 'ps ax; ls -l /target' web", 'berth debug alpine'],
  async run(context, { values, positionals: [name = ''] }) {
    const container = await orNone(() => inspectContainer(context.client(), name));
    const image = container === undefined ? await orNone(() => inspectImage(context.client(), name)) : undefined;
    if (container === undefined && image === undefined) throw new Error(`Error: No such container or image: ${name}`);
    const tools = values.image === '' ? await toolsImage(context) : values.image;
    const terminal = context.io.stdinIsTerminal && context.io.stdoutIsTerminal;
    const common = [
      '--rm',
      '--interactive',
      ...(terminal ? ['--tty'] : []),
      ...(values.user === '' ? ['--user', '0'] : ['--user', values.user]),
      '--log-driver',
      'none',
    ];
    const start = (flags: readonly string[], root: string) =>
      run.execute({ ...context, path: 'run' }, [...common, ...flags, tools, 'sh', '-c', script(root, values.command)]);
    if (container?.State.Running === true) return start(joining(container), RUNNING_ROOT);
    if (image !== undefined) return start(looking(image.Id), TARGET);
    return withCommitted(context, name, (committed) => start(looking(committed), TARGET));
  },
});

/** What is needed to see the processes of others and their files. */
function joining({ Id }: ContainerInspect): string[] {
  const of = `container:${Id}`;
  return ['--pid', of, '--network', of, '--cap-add', 'SYS_PTRACE', '--cap-add', 'DAC_READ_SEARCH'];
}

function looking(image: string): string[] {
  return ['--network', 'none', '--mount', `type=image,source=${image},target=${TARGET}`];
}

function script(root: string, command: string): string {
  const place =
    root === TARGET ? `cd ${TARGET}` : `ln -s ${root} ${TARGET} 2>/dev/null; cd ${TARGET} 2>/dev/null || cd ${root}`;
  // The kernel has no path to a place in another mount namespace: shells take the one that they are told.
  return `${place}; export PWD PS1='$PWD # '; ${command === '' ? 'exec sh -i' : command}`;
}

async function orNone<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof ApiError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

/** The files of a container that ended, as an image without a name for as long as they are looked at. */
async function withCommitted(
  context: CommandContext,
  container: string,
  use: (image: string) => Promise<number>,
): Promise<number> {
  const client = context.client();
  const nothing = { repo: '', tag: '', author: '', comment: '', changes: [], pause: false };
  const id = await commitContainer(client, container, nothing);
  try {
    return await use(id);
  } finally {
    await removeImage(client, id, { force: false, noprune: false });
  }
}

async function toolsImage(context: CommandContext): Promise<string> {
  const client = context.client();
  if ((await orNone(() => inspectImage(client, TOOLS_IMAGE))) !== undefined) return TOOLS_IMAGE;
  const path = context.environment['PATH'];
  const programs = findOnHost(path);
  if (programs.length === 0)
    throw new Error('There are no tools on this machine to take along: name an image that has some (--image)');
  if (context.io.stdoutIsTerminal)
    context.io.err(`Making ${TOOLS_IMAGE} of ${programs.length} programs of this machine, once\n`);
  const messages = loadHostImage(client, imageOfPrograms(TOOLS_IMAGE, programs, { path }));
  await showProgress(messages, { write: () => undefined, columns: undefined });
  return TOOLS_IMAGE;
}
