/** `build`: sends what the Dockerfile needs, shows the progress, and puts the result where it was asked for. */
import * as fs from 'node:fs';
import { ApiError } from '#api/client/api-error.ts';
import { type BuildLine, buildImage, keptGeneration } from '#api/client/build.ts';
import type { Query } from '#api/client/api-client.ts';
import { type CommandContext, defineCommand, ExitError, UsageError } from '../command.ts';
import { type BuildValues, buildFlags } from './build-flags.ts';
import { attestOptions, cacheOptions } from './cache-flags.ts';
import { type PackedContext, packContext } from './context.ts';
import type { Built, Outputs } from './outputs.ts';
import { type BuildView, type ProgressMode, viewOf } from './progress.ts';
import { secretsHeader, sshSockets } from './secrets.ts';
import { mayDraw, screenSize } from '../terminal/screen.ts';

type Values = BuildValues;

export const build = defineCommand({
  operands: 'PATH | URL | -',
  count: [1, 1],
  flags: buildFlags,
  examples: ['berth build -t app .', 'berth build --check .', 'berth build -o dest=out --target binary .'],
  async run(context, { values, positionals: [place = ''] }) {
    const method = values.check ? 'check' : values.call;
    if (method !== 'build' && method !== '') {
      const { callDockerfile } = await import('./call.ts');
      const { packed } = await contextOf(values, place);
      if (packed === undefined) throw new UsageError(`--call=${method} needs a context of this host`);
      return callDockerfile(context, values, packed, method);
    }
    return runBuild(context, values, place);
  },
});

interface BuildSource {
  /** Sent as the body; undefined when the daemon fetches it. */
  readonly packed: PackedContext | undefined;
  readonly body: ReadableStream<Uint8Array> | undefined;
  readonly remote: string;
  readonly dockerfile: string;
  readonly images: Readonly<Record<string, string>>;
}

const isRemote = (place: string): boolean =>
  /^(?:https?:\/\/|git:\/\/|ssh:\/\/|git@|github\.com\/)/.test(place) && !fs.existsSync(place);

async function contextOf(values: Values, place: string): Promise<BuildSource> {
  const { named, images } = contextsOf(values['build-context']);
  const common = { target: values.target, named, images: Object.keys(images) };
  const contexts = { ...images, ...Object.fromEntries([...named.keys()].map((name) => [name, ''])) };
  if (isRemote(place)) {
    return { packed: undefined, body: undefined, remote: place, dockerfile: values.file, images: contexts };
  }
  if (place === '-') {
    const first = await stdinContext();
    if (first.tar !== undefined) {
      return { packed: undefined, body: first.tar, remote: '', dockerfile: values.file, images: contexts };
    }
    const packed = packContext({ ...common, directory: '', file: '', text: first.text });
    return { packed, body: undefined, remote: '', dockerfile: packed.dockerfile, images: contexts };
  }
  const text = values.file === '-' ? await Bun.stdin.text() : undefined;
  const packed = packContext({ ...common, directory: place, file: values.file === '-' ? '' : values.file, text });
  return { packed, body: undefined, remote: '', dockerfile: packed.dockerfile, images: contexts };
}

/** A Dockerfile, or a tar of a context: told apart by what it begins with. */
async function stdinContext(): Promise<{ readonly text?: string; readonly tar?: ReadableStream<Uint8Array> }> {
  const bytes = await Bun.stdin.bytes();
  const isTar = bytes.length >= 512 && Buffer.from(bytes.subarray(257, 262)).toString('latin1') === 'ustar';
  const isCompressed =
    (bytes[0] === 0x1f && bytes[1] === 0x8b) ||
    (bytes[0] === 0x28 && bytes[1] === 0xb5) ||
    (bytes[0] === 0xfd && bytes[1] === 0x37);
  return isTar || isCompressed ? { tar: new Blob([bytes]).stream() } : { text: Buffer.from(bytes).toString() };
}

function contextsOf(options: readonly string[]): { named: Map<string, string>; images: Record<string, string> } {
  const named = new Map<string, string>();
  const images: Record<string, string> = {};
  for (const option of options) {
    const [name = '', value = ''] = option.split(/=(.*)/s);
    if (name === '' || value === '') throw new UsageError(`invalid context value: ${option}, expected key=value`);
    if (value.startsWith('docker-image://')) images[name] = value;
    else if (/^[a-z-]+:\/\//.test(value)) throw new UsageError(`unsupported build context ${value}`);
    else named.set(name, value);
  }
  return { named, images };
}

export async function runBuild(
  context: CommandContext,
  values: Values,
  place: string,
  view: BuildView = viewOf(modeOf(context, values), context.io, screenSize(context.environment).columns),
): Promise<number> {
  const source = await contextOf(values, place);
  const { outputsOf, deliver } = await import('./outputs.ts');
  const outputs = outputsOf(values);
  const aborted = new AbortController();
  const stop = (): void => aborted.abort();
  process.once('SIGINT', stop);
  let built: Built = { id: '' };
  let failure: { readonly message: string; readonly code: number } | undefined;
  try {
    const headers = secretsHeader(values.secret);
    const query = queryOf(context, values, source, outputs);
    const request = { query, headers, signal: aborted.signal, count: (bytes: number) => view.sent(bytes) };
    for await (const line of sendBuild(context, source, request)) {
      view.show(line);
      const { images, digest } = line;
      const id = line.built ?? line.aux?.ID;
      if (id !== undefined) built = { id, ...(images && { images }), ...(digest === undefined ? {} : { digest }) };
      const message = line.errorDetail?.message ?? (line.ended === undefined ? line.error : undefined);
      if (message !== undefined) failure = { message, code: line.errorDetail?.code ?? 1 };
    }
  } catch (error) {
    if (!aborted.signal.aborted) throw error;
    failure = { message: 'the build was cancelled', code: 130 };
  } finally {
    process.removeListener('SIGINT', stop);
    view.end();
  }
  if (failure !== undefined) throw new ExitError(failure.code, `ERROR: failed to build: ${failure.message}`);
  const { id } = built;
  await deliver(context, outputs, built);
  if (values.iidfile !== '') fs.writeFileSync(values.iidfile, id);
  if (values['metadata-file'] !== '') {
    const metadata = {
      'containerimage.config.digest': id,
      'containerimage.digest': built.digest ?? id,
      'image.name': [...outputs.names, ...outputs.byDigest].join(','),
    };
    fs.writeFileSync(values['metadata-file'], `${JSON.stringify(metadata, undefined, 2)}\n`);
  }
  if (values.quiet || values.progress === 'quiet') context.io.out(`${id}\n`);
  return 0;
}

interface BuildCall {
  readonly query: Query;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly count: (bytes: number) => void;
}

/** Sends of a directory what the daemon has not; where that is unknown, or another build came between, all of it. */
async function* sendBuild(
  context: CommandContext,
  { packed, body }: BuildSource,
  { query, headers, signal, count }: BuildCall,
): AsyncGenerator<BuildLine> {
  const client = context.client();
  if (packed === undefined) {
    yield* buildImage(client, query, { context: body, headers, signal });
    return;
  }
  const { Accounts } = await import('./sent-account.ts');
  const accounts = Accounts.of(context.environment);
  const key = accounts?.key(JSON.stringify(client.address), packed.directories);
  if (accounts === undefined || key === undefined) {
    yield* buildImage(client, query, { context: packed.stream(undefined, count).body, headers, signal });
    return;
  }
  const known = accounts.read(key);
  const isCurrent = known !== undefined && (await keptGeneration(client, key)) === known.generation;
  for (const account of isCurrent ? [known, undefined] : [undefined]) {
    const { body: tar, sent } = packed.stream(account, count);
    const asked = { ...query, kept: key, changesof: account?.generation ?? '' };
    try {
      for await (const line of buildImage(client, asked, { context: tar, headers, signal })) {
        const { context: kept } = line;
        if (kept !== undefined && !isSameAccount(account, kept.generation, sent)) {
          accounts.write({ key, generation: kept.generation, files: sent });
        }
        yield line;
      }
      return;
    } catch (error) {
      if (account === undefined || !(error instanceof ApiError) || error.status !== 409) throw error;
    }
  }
}

function isSameAccount(
  before: { readonly generation: string; readonly files: ReadonlyMap<string, unknown> } | undefined,
  generation: string,
  files: ReadonlyMap<string, unknown>,
): boolean {
  if (before?.generation !== generation || before.files.size !== files.size) return false;
  for (const [name, file] of files) if (before.files.get(name) !== file) return false;
  return true;
}

function modeOf(context: CommandContext, values: Values): ProgressMode {
  if (values.quiet) return 'quiet';
  const asked = values.progress === 'auto' ? (context.environment['BUILDKIT_PROGRESS'] ?? 'auto') : values.progress;
  if (asked === 'plain' || asked === 'tty' || asked === 'rawjson' || asked === 'quiet') return asked;
  if (asked !== 'auto' && asked !== '') throw new UsageError(`invalid progress type: ${asked}`);
  return mayDraw(context) && process.stderr.isTTY ? 'tty' : 'plain';
}

function queryOf(context: CommandContext, values: Values, source: BuildSource, outputs: Outputs): Query {
  const { names, options, byDigest } = outputs;
  const json = (value: Readonly<Record<string, string | null>>): string => JSON.stringify(value);
  return {
    format: 'events',
    dockerfile: source.dockerfile,
    remote: source.remote,
    t: names,
    nocache: values['no-cache'],
    nocachefilter: values['no-cache-filter'].flatMap((stages) => stages.split(',')),
    pull: values.pull,
    rm: true,
    buildargs: json({ ...proxyArgs(context), ...pairs(values['build-arg'], context) }),
    labels: json(pairs(values.label, context)),
    target: values.target,
    platform: values.platform.join(','),
    networkmode: values.network,
    extrahosts: values['add-host'].map((entry) => (entry.includes('=') ? entry.replace('=', ':') : entry)),
    securityopt: JSON.stringify(values['security-opt']),
    memory: values.memory,
    memswap: values['memory-swap'],
    cpushares: values['cpu-shares'],
    cpuperiod: values['cpu-period'],
    cpuquota: values['cpu-quota'],
    cpusetcpus: values['cpuset-cpus'],
    cpusetmems: values['cpuset-mems'],
    shmsize: values['shm-size'],
    ulimits: JSON.stringify(values.ulimit.map(ulimitOf)),
    cgroupparent: values['cgroup-parent'],
    isolation: values.isolation,
    cachefrom: JSON.stringify(cacheOptions(context, values['cache-from'], 'src')),
    cacheto: JSON.stringify(cacheOptions(context, values['cache-to'], 'dest')),
    imageoptions: json(options),
    annotations: JSON.stringify(values.annotation),
    attests: JSON.stringify(attestOptions(values)),
    pushbydigest: JSON.stringify(byDigest),
    squash: values.squash,
    allow: values.allow,
    volume: values.volume,
    contexts: JSON.stringify(source.images),
    ssh: JSON.stringify(sshSockets(values.ssh, context)),
  };
}

/** `NAME=value`, or `NAME` for what the environment says. */
function pairs(options: readonly string[], { environment }: CommandContext): Record<string, string> {
  const found: Record<string, string> = {};
  for (const option of options) {
    const [name = '', value] = option.split(/=(.*)/s);
    const given = value ?? environment[name];
    if (given !== undefined) found[name] = given;
  }
  return found;
}

/** `proxies` of the configuration file, as docker sends them. */
function proxyArgs(context: CommandContext): Record<string, string> {
  const proxies = context.config()['proxies'];
  const entry: unknown = typeof proxies === 'object' && proxies !== null ? Reflect.get(proxies, 'default') : undefined;
  if (typeof entry !== 'object' || entry === null) return {};
  const names = {
    httpProxy: 'HTTP_PROXY',
    httpsProxy: 'HTTPS_PROXY',
    noProxy: 'NO_PROXY',
    ftpProxy: 'FTP_PROXY',
    allProxy: 'ALL_PROXY',
  };
  const found: Record<string, string> = {};
  for (const [key, name] of Object.entries(names)) {
    const value: unknown = Reflect.get(entry, key);
    if (typeof value === 'string' && value !== '') Object.assign(found, { [name]: value, [name.toLowerCase()]: value });
  }
  return found;
}

/** `nofile=1024:2048`. */
function ulimitOf(text: string): { Name: string; Soft: number; Hard: number } {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (match === null) throw new UsageError(`invalid ulimit argument: ${text}`);
  const [, Name = '', soft = '', hard = soft] = match;
  return { Name, Soft: Number(soft), Hard: Number(hard) };
}
