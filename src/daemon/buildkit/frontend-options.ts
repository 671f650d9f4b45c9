/** Options of BuildKit's Dockerfile frontend as input of a build with a session. What we do not have is refused by name. */
import type { SessionBuildInput, SessionBuildOutput } from '#api/jobs/buildkit.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { parseBytes } from '#pkg/units/size.ts';

export interface FrontendBuild {
  readonly ref: string;
  readonly session: string;
  readonly frontend: string;
  readonly options: ReadonlyMap<string, string>;
  readonly exporters: readonly { readonly type: string; readonly attrs: ReadonlyMap<string, string> }[];
  readonly cacheExports: readonly { readonly type: string }[];
  readonly cacheImports: readonly { readonly type: string; readonly attrs: ReadonlyMap<string, string> }[];
  readonly entitlements: readonly string[];
}

/** What it does not say of the result and where it comes from. */
type Input = Omit<SessionBuildInput, 'progress'>;

type Draft = { -readonly [K in keyof Input]: Input[K] };

/** Options that say how the client works, and nothing of the result. */
const ignored = /^(?:cmdline|source|frontend\.caps|multi-platform|hostname|vcs:.*|image-resolve-mode|requestid)$/;

/** Errors: not-implemented naming the option; invalid-parameter. */
export function inputOf(build: FrontendBuild): Input {
  if (build.frontend !== 'dockerfile.v0') {
    throw notImplemented(`the frontend ${JSON.stringify(build.frontend)} is not there: only dockerfile.v0 is`);
  }
  const args: Record<string, string> = {};
  const labels: Record<string, string> = {};
  const contexts: Record<string, string> = {};
  const directorySessions: Record<string, string> = {};
  const input = emptyInput(build, { args, labels, contexts, directorySessions });
  for (const [key, value] of build.options) {
    const colon = key.indexOf(':');
    const name = key.slice(colon + 1);
    if (key.startsWith('build-arg:')) args[name] = value;
    else if (key.startsWith('label:')) labels[name] = value;
    else if (key.startsWith('context:')) contexts[name] = value;
    else if (key.startsWith('local-sessionid:')) directorySessions[name] = value;
    // What a client knows of the image behind a context: we know more.
    else if (key.startsWith('input-metadata:')) continue;
    else if (key.startsWith('attest:')) requireOff(key, value);
    else if (!ignored.test(key)) set(input, key, value);
  }
  const noCache = build.options.get('no-cache');
  if (noCache !== undefined) {
    input.noCacheStages = listOf(noCache);
    input.noCache = input.noCacheStages.length === 0;
  }
  input.pull = build.options.get('image-resolve-mode') === 'pull';
  return input;
}

const listOf = (value: string): readonly string[] => value.split(',').filter((entry) => entry !== '');

function set(input: Draft, key: string, value: string): void {
  switch (key) {
    case 'filename':
      input.dockerfile = value;
      break;
    case 'target':
      input.target = value;
      break;
    case 'platform':
      if (value.includes(','))
        throw notImplemented('several platforms at once are not there for builds with a session');
      input.platform = value;
      break;
    case 'context':
      input.remote = value;
      break;
    case 'contextkey':
      input.contextName = value;
      break;
    case 'dockerfilekey':
      input.dockerfileName = value;
      break;
    case 'contextsubdir':
      input.contextDirectory = value;
      break;
    case 'force-network-mode':
      input.networkMode = value === 'sandbox' ? '' : value;
      break;
    case 'add-hosts':
      input.extraHosts = listOf(value).map((entry) => entry.replace('=', ':'));
      break;
    case 'shm-size':
      input.shmSize = value === '' ? 0 : parseBytes(value);
      break;
    case 'ulimit':
      input.ulimits = listOf(value).map(ulimitOf);
      break;
    case 'cgroup-parent':
      input.cgroupParent = value;
      break;
    case 'cache-from':
      input.cacheFrom = listOf(value);
      break;
    case 'no-cache':
    case 'cache-imports':
      break;
    default:
      throw notImplemented(`the build option ${JSON.stringify(key)} is not there`);
  }
}

/** `nofile=1024:2048` */
function ulimitOf(text: string): { Name: string; Soft: number; Hard: number } {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (match === null) throw invalidParameter(`invalid ulimit: ${text}`);
  const soft = Number(match[2]);
  return { Name: match[1] ?? '', Soft: soft, Hard: match[3] === undefined ? soft : Number(match[3]) };
}

/** Attestations are not made; clients that ask for none say so. */
function requireOff(key: string, value: string): void {
  if (/(?:^|,)disabled=true(?:,|$)/.test(value)) return;
  throw notImplemented(
    `${key.slice('attest:'.length)} attestations are not there: build with --${key.slice('attest:'.length)}=false`,
  );
}

function emptyInput(
  build: FrontendBuild,
  maps: Pick<Draft, 'args' | 'labels' | 'contexts' | 'directorySessions'>,
): Draft {
  for (const { type } of build.cacheExports) {
    if (type !== 'inline') throw notImplemented(`the cache export ${JSON.stringify(type)} is not there`);
  }
  const tags = build.exporters.flatMap(({ attrs }) => listOf(attrs.get('name') ?? ''));
  for (const { type, attrs } of build.exporters) {
    if (attrs.get('push') === 'true')
      throw notImplemented(`the ${type} exporter does not push: push the image afterwards`);
  }
  return {
    ...maps,
    session: build.session,
    contextName: '',
    dockerfileName: '',
    contextDirectory: '',
    outputs: build.exporters.map(
      ({ type, attrs }): SessionBuildOutput => ({ type, attributes: Object.fromEntries(attrs) }),
    ),
    dockerfile: '',
    remote: '',
    tags,
    noCache: false,
    noCacheStages: [],
    pull: false,
    target: '',
    platform: '',
    networkMode: '',
    extraHosts: [],
    securityOptions: [],
    memory: 0,
    memorySwap: 0,
    cpuShares: 0,
    cpuPeriod: 0,
    cpuQuota: 0,
    cpusetCpus: '',
    cpusetMems: '',
    shmSize: 0,
    ulimits: [],
    cgroupParent: '',
    cacheFrom: build.cacheImports.flatMap(({ attrs }) => listOf(attrs.get('ref') ?? '')),
    buildId: build.ref,
    auths: {},
    secrets: new Map(),
    ssh: {},
    allow: build.entitlements,
  };
}
