/**
 * Named points at which a test lets the process die or an operation fail. They are armed by the environment variable
 * BERTH_FAILPOINTS (`name=kill`, `name=error`, `name=3*kill`: at the third passing; comma-separated) and cost one map
 * look-up otherwise. Crash tests list every name by `failpointNames`.
 */
interface Armed {
  readonly action: 'kill' | 'error';
  left: number;
}

const armed = parse(process.env['BERTH_FAILPOINTS'] ?? '');

function parse(text: string): Map<string, Armed> {
  const points = new Map<string, Armed>();
  for (const part of text.split(',').filter((p) => p !== '')) {
    const match = /^([a-z0-9.-]+)=(?:(\d+)\*)?(kill|error)$/.exec(part);
    if (match === null)
      throw new Error(`BERTH_FAILPOINTS: cannot read "${part}": want name=[N*]kill or name=[N*]error`);
    const [, name = '', count = '1', action] = match;
    points.set(name, { action: action === 'kill' ? 'kill' : 'error', left: Number(count) });
  }
  return points;
}

/** Passing here kills the process (SIGKILL) or throws when a test has armed `name`. */
export function failpoint(name: FailpointName): void {
  if (armed.size === 0) return;
  const point = armed.get(name);
  if (point === undefined) return;
  point.left -= 1;
  if (point.left !== 0) return;
  if (point.action === 'kill') process.kill(process.pid, 'SIGKILL');
  throw new Error(`failpoint ${name}`);
}

/** Every failpoint of the project. A crash test walks this list; a name that no code passes fails that test. */
export const failpointNames = [
  'content.collected',
  'replace.recorded',
  'replace.aside',
  'replace.created',
  'replace.started',
  'create.recorded',
  'create.layer-made',
  'create.done',
  'start.recorded',
  'start.network-made',
  'network.made',
  'network-update.recorded',
  'commit.frozen',
  'commit.captured',
  'build.context-kept',
  'build.step-sealed',
  'build.step-recorded',
  'build.blob-written',
  'build.layers-recorded',
  'build.cache-blob',
  'build.cache-index',
  'build.cache-fetched',
  'build.cache-brought',
  'connect.allocated',
  'connect.joined',
  'connect.recorded',
  'disconnect.recorded',
  'disconnect.left',
  'start.launched',
  'start.at-gate',
  'start.executed',
  'exit.recorded',
  'exit.drained',
  'pause.frozen',
  'unpause.thawed',
  'update.recorded',
  'update.applied',
  'remove.recorded',
  'remove.layer-gone',
  'exec.launched',
  'load.blob-written',
  'load.layer-unpacked',
  'load.layer-recorded',
  'load.image-recorded',
  'registry.chunk-written',
  'registry.blob-synced',
  'registry.blob-kept',
  'registry.manifest-written',
  'registry.manifest-recorded',
  'pull.layer-fetched',
  'pull.layers-on-disk',
  'pull.recorded',
  'push.manifest-put',
  'volume.recorded',
  'volume.mount-recorded',
  'volume.mounted',
  'volume.unmounted',
  'volume.forgotten',
  'volume.moving',
  'volume.filled',
] as const;
export type FailpointName = (typeof failpointNames)[number];
