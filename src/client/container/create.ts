/** `create`, and the part of `run` that makes the container. */
import { ApiError } from '#api/client/api-error.ts';
import { createContainer, removeContainer, waitContainer } from '#api/client/containers.ts';
import type { CreateBody } from '#api/client/containers.ts';
import type { ContainerCreateResponse } from '#api/types/container.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import type { FlagValues } from '../flags/flag-spec.ts';
import type { ParsedFlags } from '../flags/parse-flags.ts';
import { fileFailure } from '../files.ts';
import { splitReference } from '../image/split-reference.ts';
import { nodeFs } from '../node-modules.ts';
import { createBody } from './create-body.ts';
import { runFailure } from './exit-status.ts';
import { CREATE_FLAGS } from './run-flags.ts';

/** What `create` has; `run` has more. */
type CreateFlags = Pick<ParsedFlags<typeof CREATE_FLAGS>, 'values' | 'positionals'> & {
  readonly given: ReadonlySet<string>;
};
type Values = FlagValues<typeof CREATE_FLAGS>;

export const create = defineCommand({
  operands: 'IMAGE [COMMAND] [ARG...]',
  count: [1, Infinity],
  interspersed: false,
  flags: CREATE_FLAGS,
  async run(context, input) {
    try {
      const { Id } = await makeContainer(context, input.values, bodyOf(context, input));
      context.io.out(`${Id}\n`);
    } catch (error) {
      throw asCreateFailure(error, context.path);
    }
  },
});

/** A failure of the daemon is 1 in `create`, as in docker; a bad flag's value is 125. */
function asCreateFailure(error: unknown, path: string): unknown {
  return error instanceof ApiError || error instanceof ExitError ? error : runFailure(error, path);
}

export function bodyOf(context: CommandContext, input: CreateFlags): CreateBody {
  const [image = '', ...command] = input.positionals;
  const { values, given } = input;
  return createBody({ values, given, image, command, environment: context.environment });
}

const PULL_POLICIES = ['always', 'missing', 'never'];

/** Creates it, pulling the image first when it is missing, and writes the id file. */
export async function makeContainer(
  context: CommandContext,
  values: Values,
  asked: CreateBody,
): Promise<ContainerCreateResponse> {
  const image = asked.Image ?? '';
  if (values.platform.split('/').length > 3) {
    const quoted = JSON.stringify(values.platform);
    throw new Error(`error parsing specified platform: ${quoted}: cannot parse platform specifier: invalid argument`);
  }
  if (!PULL_POLICIES.includes(values.pull)) {
    throw new Error(`invalid pull option: '${values.pull}': must be one of "always", "missing" or "never"`);
  }
  if (values.replace && values.name === '') {
    throw new Error('cannot replace container without --name being set');
  }
  using idFile = new IdFile(values.cidfile);
  const api = values['use-api-socket'] ? await apiSocketFor(context, asked) : undefined;
  const body = api?.body ?? asked;
  if (values.pull === 'always') await pullFor(context, image, values);
  let created: ContainerCreateResponse;
  try {
    created = await createOrReplace(context, values, body);
  } catch (error) {
    const missing =
      error instanceof ApiError && error.kind === 'not-found' && /No such image|not found/.test(error.message);
    if (!missing || values.pull !== 'missing') throw error;
    const { repository, tag } = splitReference(image);
    if (!values.quiet) context.io.err(`Unable to find image '${repository}:${tag || 'latest'}' locally\n`);
    await pullFor(context, image, values);
    created = await createOrReplace(context, values, body);
  }
  for (const warning of created.Warnings ?? []) context.io.err(`WARNING: ${warning}\n`);
  await api?.finish(created.Id);
  idFile.write(created.Id);
  return created;
}

/**
 * With `--replace` the one that has the name is removed and the creation tried again: asking first would cost every
 * other creation a request, and another could take the name between the two.
 */
async function createOrReplace(
  context: CommandContext,
  values: Values,
  body: CreateBody,
): Promise<ContainerCreateResponse> {
  const client = context.client();
  const { name, platform } = values;
  try {
    return await createContainer(client, body, { name, platform });
  } catch (error) {
    if (!values.replace || !(error instanceof ApiError) || error.kind !== 'conflict') throw error;
  }
  await removeNamed(context, name.replace(/^\//, ''));
  return createContainer(client, body, { name, platform });
}

async function removeNamed(context: CommandContext, name: string): Promise<void> {
  try {
    await removeContainer(context.client(), name, { force: true, volumes: false, link: false });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.kind === 'not-found') return;
    if (error.kind !== 'conflict') throw error;
    // Another removes it already (`--rm` of one that has just ended): the name is free when that is done.
    await (await waitContainer(context.client(), name, 'removed')).exit.catch((failure: unknown) => {
      if (!(failure instanceof ApiError) || failure.kind !== 'not-found') throw failure;
    });
  }
}

/** Few runs have to pull: the code is loaded for them. */
async function pullFor(context: CommandContext, image: string, values: Values): Promise<void> {
  const { pullForContainer } = await import('./pull-for-container.ts');
  await pullForContainer(context, image, values);
}

async function apiSocketFor(context: CommandContext, body: CreateBody) {
  const { useApiSocket } = await import('./api-socket.ts');
  return useApiSocket(context, body);
}

/** `--cidfile`: must not be there before, and is taken away again when no container came to be. */
class IdFile implements Disposable {
  readonly #path: string;
  #written = false;

  constructor(path: string) {
    this.#path = path;
    if (path === '') return;
    if (nodeFs().existsSync(path)) {
      throw new Error(`container ID file found, make sure the other container isn't running or delete ${path}`);
    }
    try {
      nodeFs().writeFileSync(path, '', { flag: 'wx' });
    } catch (error) {
      throw new Error(`failed to create the container ID file: ${fileFailure('open', path, error).message}`, {
        cause: error,
      });
    }
  }

  write(id: string): void {
    if (this.#path !== '') nodeFs().writeFileSync(this.#path, id);
    this.#written = true;
  }

  [Symbol.dispose](): void {
    if (this.#path !== '' && !this.#written) nodeFs().rmSync(this.#path, { force: true });
  }
}
