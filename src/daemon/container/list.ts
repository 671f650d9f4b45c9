/** `GET /containers/json`: filters, order (newest first) and the summary of each. */
import type { ContainerSummary } from '#api/types/container.ts';
import type { EndpointSettings } from '#api/types/network.ts';
import type { ListInput } from '#api/jobs/container.ts';
import type { ContainerRecord } from '#container/record.ts';
import { containerStatuses, isRunningOrRestarting } from '#container/state.ts';
import { statusText } from '#container/status-text.ts';
import { BerthError, invalidParameter, kindOf } from '#errdefs/errors.ts';
import { booleanFilter } from '#pkg/filters/filters.ts';
import type { Services } from '../services.ts';
import { mountPointsOf } from './mount-points.ts';
import { namesByLinks } from '../network/links.ts';
import { portMapOf } from '../network/ports.ts';
import { endpointsOf, portSummariesOf, withProtocol } from './network-settings.ts';

type Test = (record: ContainerRecord) => boolean;
type Wanted = Pick<Services, 'containers' | 'images' | 'layers' | 'health'>;

export async function listContainers(
  services: Wanted,
  input: ListInput,
  now = new Date(),
): Promise<ContainerSummary[]> {
  const tests = [...input.filters].map(([key, values]) => testOf(services, key, values));
  // Asking for a status, an exit code or a number of containers means stopped ones too.
  const stopped =
    input.all || input.limit > 0 || ['status', 'exited', 'since', 'before'].some((k) => input.filters.has(k));
  const found = services.containers
    .all()
    .reverse()
    .filter((record) => (stopped || isRunningOrRestarting(record.state)) && tests.every((test) => test(record)));
  const some = input.limit > 0 ? found.slice(0, input.limit) : found;
  const imageNames = new Map<string, string>();
  const linked = namesByLinks(services);
  return Promise.all(some.map((record) => summaryOf(services, record, { size: input.size, now, imageNames, linked })));
}

interface SummaryOptions {
  readonly size: boolean;
  readonly now: Date;
  /** What has been found out about the names of images during this request. */
  readonly imageNames: Map<string, string>;
  /** Names by links of others. */
  readonly linked: ReadonlyMap<string, readonly string[]>;
}

async function summaryOf(
  services: Wanted,
  record: ContainerRecord,
  options: SummaryOptions,
): Promise<ContainerSummary> {
  const layer = options.size ? services.layers.readWrite(record.id) : undefined;
  const own = await layer?.size();
  const whole = own === undefined ? 0 : own + (layer?.virtualSize() ?? 0);
  return {
    Id: record.id,
    Names: [`/${record.name}`, ...(options.linked.get(record.id) ?? [])],
    Image: imageName(services, record, options.imageNames),
    ImageID: record.imageId,
    Command: commandText(record),
    Created: Math.trunc(Date.parse(record.createdAt) / 1000),
    Ports: isRunningOrRestarting(record.state) ? portSummariesOf(record) : [],
    ...(own === undefined || own === 0 ? {} : { SizeRw: own }),
    ...(whole === 0 ? {} : { SizeRootFs: whole }),
    Labels: record.config.Labels ?? {},
    State: record.state.status,
    Status: statusText(record.state, options.now, services.health.healthOf(record)?.status),
    HostConfig: {
      NetworkMode: record.hostConfig.NetworkMode,
      ...(record.hostConfig.Annotations === undefined ? {} : { Annotations: record.hostConfig.Annotations }),
    },
    NetworkSettings: { Networks: withoutNames(endpointsOf(record)) },
    Mounts: mountPointsOf(record),
  };
}

/** As dockerd: names of a container in its networks are told by inspect alone. */
function withoutNames(endpoints: Record<string, EndpointSettings>): Record<string, EndpointSettings> {
  const shown = Object.entries(endpoints).map(([name, endpoint]): [string, EndpointSettings] => [
    name,
    { ...endpoint, Aliases: null, DNSNames: null },
  ]);
  return Object.fromEntries(shown);
}

/** The name that was asked for, as long as it still means this image; its id otherwise. */
function imageName(services: Wanted, record: ContainerRecord, known: Map<string, string>): string {
  const key = `${record.config.Image} ${record.imageId}`;
  let name = known.get(key);
  if (name === undefined) {
    name = resolvesTo(services, record.config.Image) === record.imageId ? record.config.Image : record.imageId;
    known.set(key, name);
  }
  return name;
}

function resolvesTo(services: Wanted, reference: string): string | undefined {
  try {
    return services.images.resolve(reference).id;
  } catch (error) {
    if (error instanceof BerthError && ['not-found', 'invalid-parameter'].includes(kindOf(error))) return undefined;
    throw error;
  }
}

/** As dockerd: words with spaces are quoted. */
function commandText(record: ContainerRecord): string {
  const words = record.args.map((word) => (word.includes(' ') ? `'${word}'` : word));
  return [record.path, ...words].join(' ');
}

function testOf(services: Wanted, key: string, values: readonly string[]): Test {
  if (values.length === 0) return () => true;
  const any = (test: (record: ContainerRecord, value: string) => boolean): Test => {
    return (record) => values.some((value) => test(record, value));
  };
  switch (key) {
    case 'id':
      return any((record, value) => record.id.startsWith(value));
    case 'name':
      return nameTest(values);
    case 'label':
      return (record) => values.every((value) => hasLabel(record, value));
    case 'status':
      return statusTest(values);
    case 'exited':
      return exitedTest(values);
    case 'ancestor': {
      const ids = new Set(values.flatMap((value) => ancestorsOf(services, value)));
      return (record) => ids.has(record.imageId);
    }
    case 'before':
    case 'since':
      return orderTest(services, key, values);
    case 'volume':
      return any((record, value) => record.mounts.some((m) => [m.volume, m.destination, m.source].includes(value)));
    case 'network':
      return any(
        (record, value) =>
          Object.hasOwn(record.networks, value) ||
          record.endpoints.some((endpoint) => endpoint.networkId.startsWith(value)),
      );
    case 'expose':
      for (const value of values) checkPortFilter(value);
      return any((record, value) => portMatches(record, value));
    case 'publish':
      for (const value of values) checkPortFilter(value);
      return any((record, value) => publishes(record, value));
    case 'health':
      return healthTest(services, values);
    case 'is-task':
      // There are no tasks: no swarm.
      return booleanFilter(new Map([[key, values]]), key) === true ? () => false : () => true;
    case 'isolation':
      return any((record, value) => record.hostConfig.Isolation === value || value === 'default');
    default:
      throw invalidParameter(`invalid filter '${key}'`);
  }
}

/** A name is matched as a regular expression, with and without its slash. */
function nameTest(values: readonly string[]): Test {
  const patterns = values.flatMap((value) => {
    try {
      return [new RegExp(value)];
    } catch {
      return []; // matches nothing, as with dockerd
    }
  });
  return (record) => patterns.some((pattern) => pattern.test(`/${record.name}`) || pattern.test(record.name));
}

function hasLabel(record: ContainerRecord, wanted: string): boolean {
  const at = wanted.indexOf('=');
  const labels = record.config.Labels ?? {};
  return at < 0 ? wanted in labels : labels[wanted.slice(0, at)] === wanted.slice(at + 1);
}

function statusTest(values: readonly string[]): Test {
  for (const value of values) {
    // as: only to ask whether it is one.
    if (!(containerStatuses as readonly string[]).includes(value)) {
      throw invalidParameter(
        `invalid filter 'status=${value}': invalid value for state (${value}): must be one of created, running, paused, restarting, removing, exited, dead`,
      );
    }
  }
  return (record) => values.includes(record.state.status);
}

function healthTest(services: Wanted, values: readonly string[]): Test {
  for (const value of values) {
    if (!['none', 'starting', 'healthy', 'unhealthy'].includes(value)) {
      throw invalidParameter(
        `invalid filter 'health=${value}': invalid value for health (${value}): must be one of none, starting, healthy, unhealthy`,
      );
    }
  }
  return (record) => values.includes(services.health.healthOf(record)?.status ?? 'none');
}

function exitedTest(values: readonly string[]): Test {
  for (const value of values) {
    if (!/^-?\d+$/.test(value))
      throw invalidParameter(`invalid filter 'exited=${value}': strconv.Atoi: parsing "${value}": invalid syntax`);
  }
  const codes = values.map(Number);
  return (record) => record.state.status === 'exited' && codes.includes(record.state.exitCode);
}

function orderTest(services: Wanted, key: 'before' | 'since', values: readonly string[]): Test {
  const others = values.map((value) => services.containers.resolve(value));
  return (record) =>
    others.some((other) =>
      key === 'before' ? record.createdAt < other.createdAt : record.createdAt > other.createdAt,
    );
}

/** The image itself; images that were made from it are those whose layers begin with its own. */
function ancestorsOf(services: Wanted, reference: string): string[] {
  const id = resolvesTo(services, reference);
  if (id === undefined) return [];
  const layers = services.images.get(id).config.rootfs.diff_ids;
  const isBase = (diffIds: readonly string[]): boolean => layers.every((diffId, i) => diffIds[i] === diffId);
  return services.images
    .list()
    .filter((image) => image.id === id || (layers.length > 0 && isBase(image.config.rootfs.diff_ids)))
    .map((image) => image.id);
}

function portMatches(record: ContainerRecord, wanted: string): boolean {
  const inRange = portRange(wanted);
  return Object.keys(record.config.ExposedPorts ?? {}).some((spec) => {
    const [port, type = ''] = withProtocol(spec).split('/');
    return inRange(Number(port), type);
  });
}

/** Errors: invalid-parameter. */
function checkPortFilter(value: string): void {
  const [range = ''] = value.split('/');
  if (/^\d+(-\d+)?$/.test(range)) return;
  throw invalidParameter(
    `error while looking up for publish ${value}: strconv.ParseUint: parsing "${range}": invalid syntax`,
  );
}

/** The host's ports, as dockerd. */
function publishes(record: ContainerRecord, wanted: string): boolean {
  const inRange = portRange(wanted);
  return Object.entries(portMapOf(record, record.endpoints)).some(([spec, hosts]) => {
    const [, type = ''] = spec.split('/');
    return (hosts ?? []).some(({ HostPort: port }) => inRange(Number(port), type));
  });
}

/** '8080', '8080/udp' or a range '8000-8010/tcp'. */
function portRange(wanted: string): (port: number, type: string) => boolean {
  const [range = '', protocol] = withProtocol(wanted).split('/');
  const [from = 0, to = from] = range.split('-').map(Number);
  return (port, type) => type === protocol && port >= from && port <= to;
}
