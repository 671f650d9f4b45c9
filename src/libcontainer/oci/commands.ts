/** The commands of `berth oci`: what each takes from the command line and prints. Each loads only what it needs. */
import { conflict, invalidParameter } from '#errdefs/errors.ts';
import { close } from '#sys/files.ts';
import type { CreatedContainer } from './create.ts';
import type { Foreground } from './foreground.ts';
import type { Early } from './early.ts';
import { type Options, type OptionTable, refuseUnless } from './options.ts';

export interface Command {
  readonly options: OptionTable;
  readonly aliases?: Readonly<Record<string, string>>;
  /** Exit code. */
  run(options: Options, context: { readonly root: string; readonly print: (text: string) => void }): Promise<number>;
}

const creating: OptionTable = {
  bundle: 'value',
  'pid-file': 'value',
  'console-socket': 'value',
  'preserve-fds': 'value',
};
const creatingAliases = { b: 'bundle' };

function createOptions(root: string, command: string, options: Options) {
  const [id = ''] = options.arguments(command, 'container-id');
  refuseUnless(options, 'preserve-fds', ['0']);
  const pidFile = options.value('pid-file');
  const consoleSocket = options.value('console-socket');
  return {
    root,
    id,
    bundle: options.value('bundle') ?? '.',
    ...(pidFile === undefined ? {} : { pidFile }),
    ...(consoleSocket === undefined ? {} : { consoleSocket }),
  };
}

/** First of all: the kernel waits and the zygote forgets our memory while we load and prepare the rest. */
async function makeEarly(): Promise<Early> {
  const { Early } = await import('./early.ts');
  return new Early();
}

async function makeForeground(): Promise<Foreground> {
  const { Foreground } = await import('./foreground.ts');
  return new Foreground();
}

/** Waits for the first process where the container is a second clone: it has told its pid and left. */
async function reapFirst(created: Pick<CreatedContainer, 'firstPidfd'>): Promise<void> {
  if (created.firstPidfd === undefined) return;
  const { waitid } = await import('#sys/processes.ts');
  const { W } = await import('#sys/numbers.ts');
  waitid(W.P_PIDFD, created.firstPidfd, 0);
  close(created.firstPidfd);
}

const create: Command = {
  options: creating,
  aliases: creatingAliases,
  run: async (options, { root }) => {
    const wanted = createOptions(root, 'create', options);
    using early = await makeEarly();
    const { createContainer } = await import('./create.ts');
    await createContainer({ ...wanted, gated: true, takesTerminal: false }, early);
    return 0;
  },
};

const run: Command = {
  options: { ...creating, detach: 'flag', keep: 'flag' },
  aliases: { ...creatingAliases, d: 'detach' },
  run: async (options, { root }) => {
    const detach = options.flag('detach');
    const wanted = createOptions(root, 'run', options);
    using early = await makeEarly();
    using foreground = detach ? undefined : await makeForeground();
    const { createContainer } = await import('./create.ts');
    const created = await createContainer({ ...wanted, gated: false, takesTerminal: !detach }, early);
    await reapFirst(created);
    early.launcher.end();
    if (foreground === undefined) return 0;
    const exitCode = await foreground.wait(created.pidfd, created.master);
    const { deleteContainer } = await import('./lifecycle.ts');
    if (!options.flag('keep')) await deleteContainer(root, wanted.id, true);
    return exitCode;
  },
};

const start: Command = {
  options: {},
  run: async (options, { root }) => {
    const { startContainer } = await import('./lifecycle.ts');
    startContainer(root, options.arguments('start', 'container-id')[0] ?? '');
    return 0;
  },
};

const state: Command = {
  options: {},
  run: async (options, { root, print }) => {
    const { containerState } = await import('./lifecycle.ts');
    print(`${JSON.stringify(containerState(root, options.arguments('state', 'container-id')[0] ?? ''), null, 2)}\n`);
    return 0;
  },
};

const kill: Command = {
  options: { all: 'flag' },
  aliases: { a: 'all' },
  run: async (options, { root }) => {
    const { killContainer, signalNumber } = await import('./lifecycle.ts');
    const [id, signal = 'SIGTERM', ...more] = options.rest;
    if (id === undefined || more.length > 0) throw invalidParameter('"kill" requires: container-id [signal]');
    killContainer(root, id, signalNumber(signal), options.flag('all'));
    return 0;
  },
};

const remove: Command = {
  options: { force: 'flag' },
  aliases: { f: 'force' },
  run: async (options, { root }) => {
    const { deleteContainer } = await import('./lifecycle.ts');
    await deleteContainer(root, options.arguments('delete', 'container-id')[0] ?? '', options.flag('force'));
    return 0;
  },
};

const pause: Command = {
  options: {},
  run: async (options, { root }) => {
    const { pauseContainer } = await import('./lifecycle.ts');
    await pauseContainer(root, options.arguments('pause', 'container-id')[0] ?? '');
    return 0;
  },
};

const resume: Command = {
  options: {},
  run: async (options, { root }) => {
    const { resumeContainer } = await import('./lifecycle.ts');
    await resumeContainer(root, options.arguments('resume', 'container-id')[0] ?? '');
    return 0;
  },
};

const ps: Command = {
  options: { format: 'value' },
  aliases: { f: 'format' },
  run: async (options, { root, print }) => {
    refuseUnless(options, 'format', ['json']);
    const { containerPids } = await import('./lifecycle.ts');
    print(`${JSON.stringify(containerPids(root, options.arguments('ps', 'container-id')[0] ?? ''))}\n`);
    return 0;
  },
};

const list: Command = {
  options: { quiet: 'flag', format: 'value' },
  aliases: { q: 'quiet', f: 'format' },
  run: async (options, { root, print }) => {
    refuseUnless(options, 'format', ['table', 'json']);
    const { listContainers } = await import('./lifecycle.ts');
    const containers = listContainers(root);
    if (options.flag('quiet')) print(containers.map(({ id }) => `${id}\n`).join(''));
    else if (options.value('format') === 'json') print(`${JSON.stringify(containers)}\n`);
    else {
      const rows = containers.map((c) => [c.id, String(c.pid), c.status, c.bundle, c.created, c.owner]);
      print(table([['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'], ...rows]));
    }
    return 0;
  },
};

const COLUMN_GAP = 4;

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)) + COLUMN_GAP);
  const line = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('');
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('');
}

const spec: Command = {
  options: { bundle: 'value' },
  aliases: { b: 'bundle' },
  run: async (options) => {
    const { defaultSpec } = await import('./default-spec.ts');
    const { existsSync, writeFileSync } = await import('node:fs');
    const file = `${options.value('bundle') ?? '.'}/config.json`;
    if (existsSync(file)) throw conflict('File config.json exists. Remove it first');
    // 'wx': an existing file is somebody's work, also one that has come just now.
    writeFileSync(file, `${JSON.stringify(defaultSpec, null, '\t')}\n`, { flag: 'wx', mode: 0o666 });
    return 0;
  },
};

const exec: Command = {
  options: {
    'console-socket': 'value',
    cwd: 'value',
    env: 'list',
    tty: 'flag',
    user: 'value',
    'additional-gids': 'list',
    process: 'value',
    detach: 'flag',
    'pid-file': 'value',
    cap: 'list',
    'no-new-privs': 'flag',
    apparmor: 'value',
    'preserve-fds': 'value',
  },
  aliases: { e: 'env', t: 'tty', u: 'user', g: 'additional-gids', p: 'process', d: 'detach', c: 'cap' },
  run: async (options, { root }) => {
    refuseUnless(options, 'preserve-fds', ['0']);
    const [id, ...args] = options.rest;
    if (id === undefined) throw invalidParameter('"exec" requires: container-id command [args...]');
    const { execInContainer } = await import('./exec.ts');
    const detach = options.flag('detach');
    using foreground = detach ? undefined : await makeForeground();
    const optional = {
      processFile: options.value('process'),
      cwd: options.value('cwd'),
      user: options.value('user'),
      apparmor: options.value('apparmor'),
      pidFile: options.value('pid-file'),
      consoleSocket: options.value('console-socket'),
    };
    const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
    const executed = execInContainer({
      ...given,
      root,
      id,
      args,
      env: options.list('env'),
      additionalGids: options.list('additional-gids').map(Number),
      tty: options.flag('tty'),
      capabilities: options.list('cap'),
      noNewPrivileges: options.flag('no-new-privs'),
      takesTerminal: !detach,
    });
    await reapFirst(executed);
    return foreground === undefined ? 0 : await foreground.wait(executed.pidfd, executed.master);
  },
};

export const commands: Readonly<Record<string, Command>> = {
  create,
  delete: remove,
  exec,
  kill,
  list,
  pause,
  ps,
  resume,
  run,
  spec,
  start,
  state,
};
