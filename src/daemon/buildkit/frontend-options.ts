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
  readonly cacheExports: readonly { readonly type: string; readonly attrs: ReadonlyMap<string, string> }[];
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
  const attests: string[] = [];
  const directorySessions: Record<string, string> = {};
  const input = emptyInput(build, { args, labels, contexts, directorySessions, attests });
  for (const [key, value] of build.options) {
    const colon = key.indexOf(':');
    const name = key.slice(colon + 1);
    if (key.startsWith('build-arg:')) args[name] = value;
    else if (key.startsWith('label:')) labels[name] = value;
    else if (key.startsWith('context:')) contexts[name] = value;
    else if (key.startsWith('local-sessionid:')) directorySessions[name] = value;
    // What a client knows of the image behind a context: we know more.
    else if (key.startsWith('input-metadata:')) continue;
    else if (key.startsWith('attest:')) attests.push(...attestOf(name, value));
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
      if (input.cacheFrom.length === 0) input.cacheFrom = listOf(value);
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

/** Clients ask by themselves for a provenance that is not wanted: none is made that nobody has asked for. */
function attestOf(name: string, value: string): readonly string[] {
  if (/(?:^|,)inline-only=true(?:,|$)/.test(value)) return [];
  return [`type=${name}${value === '' ? '' : `,${value}`}`];
}

/** As it is written on a command line. */
function specOf({ type, attrs }: FrontendBuild['cacheImports'][number]): string {
  const fields = [...attrs].map(([key, value]) => `"${`${key}=${value}`.replaceAll('"', '""')}"`);
  return [`type=${type}`, ...fields].join(',');
}

/** What the image is to be; an OCI archive has the OCI's types. */
function imageOptionsOf(exporters: FrontendBuild['exporters']): Readonly<Record<string, string>> {
  const options: Record<string, string> = {};
  for (const { type, attrs } of exporters) {
    if (type === 'oci') options['oci-mediatypes'] ??= 'true';
    if (type === 'local' || type === 'tar') continue;
    for (const [key, value] of attrs) options[key] = value;
  }
  return options;
}

function emptyInput(
  build: FrontendBuild,
  maps: Pick<Draft, 'args' | 'labels' | 'contexts' | 'directorySessions' | 'attests'>,
): Draft {
  const tags = build.exporters.flatMap(({ attrs }) => listOf(attrs.get('name') ?? ''));
  return {
    ...maps,
    session: build.session,
    contextName: '',
    dockerfileName: '',
    contextDirectory: '',
    // Nothing is to be made of the result: it stays in the cache.
    outputs: (build.exporters.length === 0
      ? [{ type: 'cacheonly', attrs: new Map<string, string>() }]
      : build.exporters
    ).map(({ type, attrs }): SessionBuildOutput => ({ type, attributes: Object.fromEntries(attrs) })),
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
    cacheFrom: build.cacheImports.map(specOf),
    cacheTo: build.cacheExports.map(specOf),
    imageOptions: imageOptionsOf(build.exporters),
    buildId: build.ref,
    auths: {},
    secrets: new Map(),
    ssh: {},
    allow: build.entitlements,
  };
}
