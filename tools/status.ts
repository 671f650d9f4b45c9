/**
 * Writes docs/status.md from the tables that the program itself works by: API routes, daemon flags and keys. What works
 * names the test that shows it; what does not says why it is refused. `bun tools/status.ts` writes, the test compares.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Route } from '../src/api/server/route.ts';
import { allRoutes } from '../src/api/server/routes/all.ts';
import { API_VERSION, API_VERSION_MIN } from '../src/api/server/version.ts';
import { type KeySpec, keySpecs } from '../src/config/keys.ts';

const root = path.resolve(import.meta.dirname, '..');
export const STATUS_FILE = path.join(root, 'docs/status.md');

/** Test file (below test/integration) and the start of the test's name. */
type Proof = readonly [file: string, name: string];

const RUN_D = ['cli/run.test.ts', '-d prints the id'] as const;
const EXEC = ['cli/exec.test.ts', 'output, errors and exit code'] as const;
const TAGS = ['cli/images.test.ts', 'tags, dangling images'] as const;
const LOAD = ['cli/images.test.ts', 'load → save keeps'] as const;
const INFO = ['api/routes.test.ts', 'info has every key'] as const;
const JOBS = ['api/routes.test.ts', 'jobs are listed and cancelled'] as const;
const FIXED = ['api/routes.test.ts', 'networks and volumes'] as const;

const ARTIFACTS: Proof = ['image/artifacts.test.ts', 'add, ls, inspect, extract, rm'];
const BETWEEN_HOSTS: Proof = ['image/between-hosts.test.ts', 'only missing layers travel'];
const BUILD = ['builder/classic.test.ts', 'stages, files, variables'] as const;
const BUILD_CACHE = ['builder/classic.test.ts', 'the cache is shown by df'] as const;
const CACHE_MOUNTS = ['builder/cache-exchange.test.ts', 'a cache mount goes'] as const;
const SECRETS = ['volumes/secrets.test.ts', 'create, ls, inspect, rm'] as const;
const VOLUME_LIST = ['volumes/volumes.test.ts', 'ls filters and inspect'] as const;

export const proofs: Readonly<Record<string, Proof>> = {
  'GET /_ping': ['api/routes.test.ts', 'ping and version negotiation'],
  'HEAD /_ping': ['api/routes.test.ts', 'ping and version negotiation'],
  'GET /info': INFO,
  'GET /version': ['cli/events.test.ts', 'info and version print'],
  'GET /events': ['cli/events.test.ts', 'a run tells create'],
  'GET /berth/jobs': JOBS,
  'POST /berth/jobs/{id}/cancel': JOBS,
  'GET /berth/containers/{id}/why': ['health/why.test.ts', 'each cause of death'],
  'POST /berth/shutdown': ['api/routes.test.ts', 'the shutdown of the system'],
  'GET /containers/json': RUN_D,
  'POST /containers/create': ['cli/run.test.ts', 'create, attach before start'],
  'GET /containers/{id}/json': RUN_D,
  'GET /containers/{id}/top': ['stats/stats.test.ts', 'top: every form'],
  'GET /metrics': ['stats/metrics.test.ts', 'the engine, the process'],
  'GET /system/df': ['stats/disk-usage.test.ts', 'df: sizes, who uses what'],
  'POST /containers/prune': ['stats/disk-usage.test.ts', 'filters of the prunes'],
  'POST /images/prune': ['stats/disk-usage.test.ts', 'images: dangling ones'],
  'POST /build': BUILD,
  'POST /build/cancel': ['builder/classic.test.ts', 'a client that goes'],
  'POST /session': ['builder/session.test.ts', 'files, arguments, stages and names'],
  'POST /grpc': ['builder/control.test.ts', 'a build: image, names, progress'],
  'POST /build/prune': BUILD_CACHE,
  'GET /berth/build/cache': BUILD_CACHE,
  'GET /berth/build/cache-mounts': CACHE_MOUNTS,
  'GET /berth/build/cache-mounts/export': CACHE_MOUNTS,
  'POST /berth/build/cache-mounts/import': CACHE_MOUNTS,
  'GET /berth/build/contexts/{key}': ['builder/kept.test.ts', 'one changed file is all'],
  'GET /containers/{id}/stats': ['stats/stats.test.ts', 'stats: every field of API'],
  'GET /containers/{id}/logs': ['cli/logs.test.ts', 'stdout and stderr, tail'],
  'POST /containers/{id}/resize': ['api/routes.test.ts', 'top, resize, rename'],
  'POST /containers/{id}/start': ['cli/run.test.ts', 'create, attach before start'],
  'POST /containers/{id}/stop': ['cli/events.test.ts', 'stop sends the stop signal'],
  'POST /containers/{id}/restart': ['cli/events.test.ts', 'stop sends the stop signal'],
  'POST /containers/{id}/kill': ['api/routes.test.ts', 'kill by name and number'],
  'POST /containers/{id}/pause': ['resources/pause.test.ts', 'a paused container stands still'],
  'POST /containers/{id}/unpause': ['resources/pause.test.ts', 'a paused container stands still'],
  'POST /containers/{id}/update': ['resources/update.test.ts', 'limits change while it runs'],
  'POST /containers/{id}/rename': ['api/routes.test.ts', 'top, resize, rename'],
  'GET /containers/{id}/attach/ws': ['stats/attach-websocket.test.ts', 'input and both outputs'],
  'POST /containers/{id}/attach': ['cli/logs.test.ts', 'two clients attached'],
  'POST /containers/{id}/wait': ['api/routes.test.ts', 'wait in all conditions'],
  'DELETE /containers/{id...}': ['cli/run.test.ts', '--rm leaves no container'],
  'HEAD /containers/{id}/archive': ['files/copy.test.ts', 'files, trees and links'],
  'GET /containers/{id}/archive': ['files/copy.test.ts', 'trailing slashes, /. and links'],
  'PUT /containers/{id}/archive': ['files/copy.test.ts', 'noOverwriteDirNonDir refuses'],
  'GET /containers/{id}/changes': ['files/copy.test.ts', 'diff tells what was changed'],
  'GET /containers/{id}/export': ['files/copy.test.ts', 'export has the root file system'],
  'POST /commit': ['files/commit.test.ts', 'commit makes an image'],
  'POST /containers/{id}/exec': EXEC,
  'POST /exec/{id}/start': EXEC,
  'POST /exec/{id}/resize': ['cli/exec.test.ts', 'stdin with its end'],
  'GET /exec/{id}/json': EXEC,
  'GET /images/json': TAGS,
  'GET /images/get': LOAD,
  'POST /images/create': ['cli/images.test.ts', 'import makes an image'],
  'POST /images/load': LOAD,
  'GET /images/{name...}/get': LOAD,
  'GET /images/{name...}/json': LOAD,
  'GET /images/{name...}/history': ['api/routes.test.ts', 'images: history'],
  'GET /berth/images/plan': ['image/upkeep.test.ts', 'a plan shows what a prune'],
  'POST /berth/images/budget': ['image/upkeep.test.ts', 'over its budget what was not used'],
  'POST /berth/images/lock': ['image/upkeep.test.ts', 'a locked image stays'],
  'POST /berth/images/unlock': ['image/upkeep.test.ts', 'a locked image stays'],
  'GET /berth/images/trash': ['image/upkeep.test.ts', 'what was removed comes back'],
  'DELETE /berth/images/trash': ['image/upkeep.test.ts', 'what was removed comes back'],
  'POST /berth/images/undo': ['image/upkeep.test.ts', 'what was removed comes back'],
  'GET /berth/images/tree': ['image/upkeep.test.ts', 'a tree of layers, and what differs'],
  'GET /berth/images/outdated': ['image/registries.test.ts', 'what is outdated is told'],
  'POST /berth/images/auto-update': ['image/auto-update.test.ts', 'a container gets the new image'],
  'GET /berth/images/diff': ['image/upkeep.test.ts', 'a tree of layers, and what differs'],
  'GET /images/{name...}/attestations': ['image/platforms.test.ts', 'the tree has a line'],
  'POST /images/{name...}/tag': TAGS,
  'DELETE /images/{name...}': TAGS,
  'GET /images/search': ['distribution/pull-push.test.ts', 'what is not there is told'],
  'POST /images/{name...}/push': ['distribution/pull-push.test.ts', 'an image that is pushed'],
  'POST /berth/images/copy': ['distribution/copy.test.ts', 'an index is copied with all'],
  'GET /distribution/{name...}/json': ['distribution/pull-push.test.ts', 'what is not there is told'],
  'POST /auth': ['distribution/pull-push.test.ts', 'a registry with a password'],
  'GET /networks': FIXED,
  'GET /networks/{id}': FIXED,
  'POST /networks/create': ['cli/user-networks.test.ts', 'create, list, inspect and remove'],
  'DELETE /networks/{id}': ['cli/user-networks.test.ts', 'create, list, inspect and remove'],
  'POST /networks/{id}/connect': ['cli/user-networks.test.ts', 'containers of one network reach'],
  'POST /networks/{id}/disconnect': ['cli/user-networks.test.ts', 'containers of one network reach'],
  'POST /networks/prune': ['cli/user-networks.test.ts', 'prune takes what no running container'],
  'POST /berth/networks/{id}/update': ['network/egress-live.test.ts', 'the policy of a network changes'],
  'GET /berth/ports/audit': ['network/publish-policy.test.ts', 'with host-firewall a published port'],
  'GET /berth/host-names': ['network/host-names.test.ts', 'the host finds containers'],
  'POST /berth/host-names': ['network/host-names.test.ts', 'the host finds containers'],
  'GET /volumes': VOLUME_LIST,
  'GET /volumes/{name}': VOLUME_LIST,
  'POST /volumes/create': ['volumes/volumes.test.ts', 'create: a name twice'],
  'GET /berth/logs': ['logger/search.test.ts', 'a pattern in the logs'],
  'GET /berth/volumes/{name}/export': ['volumes/transfer.test.ts', 'export and import'],
  'POST /berth/volumes/{name}/import': ['volumes/transfer.test.ts', 'export and import'],
  'POST /berth/volumes/{name}/rename': ['volumes/transfer.test.ts', 'rename'],
  'POST /berth/volumes/{name}/clone': ['volumes/transfer.test.ts', 'clone'],
  'GET /berth/images/layers': BETWEEN_HOSTS,
  'POST /berth/images/missing': BETWEEN_HOSTS,
  'POST /berth/images/export': BETWEEN_HOSTS,
  'GET /berth/artifacts': ARTIFACTS,
  'POST /berth/artifacts/files': ARTIFACTS,
  'POST /berth/artifacts/create': ARTIFACTS,
  'POST /berth/artifacts/pull': ['image/artifact-transfer.test.ts', 'push and pull'],
  'POST /berth/artifacts/{name...}/push': ['image/artifact-transfer.test.ts', 'push and pull'],
  'GET /berth/artifacts/{name...}/json': ARTIFACTS,
  'GET /berth/artifacts/{name...}/file': ARTIFACTS,
  'DELETE /berth/artifacts/{name...}': ARTIFACTS,
  'GET /berth/secrets': SECRETS,
  'POST /berth/secrets/create': SECRETS,
  'GET /berth/secrets/{name}': SECRETS,
  'DELETE /berth/secrets/{name}': SECRETS,
  'POST /volumes/prune': ['volumes/volumes.test.ts', 'prune: since API 1.42'],
  'DELETE /volumes/{name}': ['daemon/volumes.test.ts', 'a named volume keeps'],
  'GET /plugins': ['api/routes.test.ts', 'there are no plugins'],
  'GET /plugins/{name...}/json': ['api/routes.test.ts', 'there are no plugins'],
};

export const routeKey = (route: Route): string => `${route.method} ${route.path}`;

export function routesOfTheApi(): readonly Route[] {
  return allRoutes({ list: () => [], cancel: () => undefined });
}

/** Proofs whose test is not there under that name. */
export function brokenProofs(): string[] {
  const broken: string[] = [];
  for (const [key, [file, name]] of Object.entries(proofs)) {
    const full = path.join(root, 'test/integration', file);
    if (!fs.existsSync(full) || !fs.readFileSync(full, 'utf8').includes(`'${name}`))
      broken.push(`${key}: ${file}: ${name}`);
  }
  return broken;
}

function routeLine(route: Route): string {
  const key = routeKey(route);
  const proof = proofs[key];
  if (route.handler === undefined) return `| \`${key}\` | ${route.operation} | refused: ${route.reason ?? ''} |`;
  const shown = proof === undefined ? '' : `: [${proof[1]} …](../test/integration/${proof[0]})`;
  return `| \`${key}\` | ${route.operation} | works${shown} |`;
}

function keyLine(spec: KeySpec): string {
  const flag = spec.flag === undefined ? '' : `\`${spec.short === undefined ? '' : `-${spec.short}, `}--${spec.flag}\``;
  const { treatment } = spec;
  let words: string;
  if (treatment.kind === 'honoured') words = spec.reload ? 'honoured, reread at SIGHUP' : 'honoured';
  else if (treatment.kind === 'no-effect') words = `accepted without effect: ${treatment.reason}`;
  else
    words = `refused: not there yet; ${treatment.inForce.map((v) => `\`${JSON.stringify(v)}\``).join(', ')} accepted`;
  return `| \`${spec.key}\` | ${flag} | ${words} |`;
}

export function statusText(): string {
  const routes = routesOfTheApi();
  const working = routes.filter((route) => route.handler !== undefined).length;
  const honoured = keySpecs.filter((spec) => spec.treatment.kind === 'honoured').length;
  return [
    '# Status',
    '',
    'Written by `bun tools/status.ts` from the tables that the program works by; do not edit.',
    '',
    `## Docker API ${API_VERSION_MIN} … ${API_VERSION}: ${working} of ${routes.length} operations work`,
    '',
    'What is not there answers 501 (or 503, as a dockerd outside of a swarm) and names the operation.',
    '',
    '| operation | what | status |',
    '|---|---|---|',
    ...routes.map(routeLine),
    '',
    `## Configuration of the daemon: ${honoured} of ${keySpecs.length} keys are honoured`,
    '',
    'Keys of `daemon.json` and flags of `berth daemon`. A value that would need what is not there is refused by name.',
    '',
    '| key | flag | status |',
    '|---|---|---|',
    ...keySpecs.map(keyLine),
    '',
  ].join('\n');
}

if (import.meta.main) {
  fs.writeFileSync(STATUS_FILE, statusText());
  console.log(STATUS_FILE);
}
