/** `ps`. */
import type { ContainerSummary, PortSummary } from '#api/types/container.ts';
import { listContainers } from '#api/client/containers.ts';
import { humanSize } from '#pkg/units/size.ts';
import { type CommandContext, defineCommand } from '../command.ts';
import { filterFlag, formatFlag, noTruncFlag, quietFlag, formatOr } from '../common-flags.ts';
import { parseFilters } from '../filters.ts';
import { flag, integer } from '../flags/flag-spec.ts';
import { ago, ellipsis, goTime, shortId } from '../format/human.ts';
import { labelOf, printListing, type Row } from '../format/listing.ts';

const HEADINGS = {
  ID: 'CONTAINER ID',
  Image: 'IMAGE',
  Command: 'COMMAND',
  CreatedAt: 'CREATED AT',
  RunningFor: 'CREATED',
  Status: 'STATUS',
  State: 'STATE',
  Ports: 'PORTS',
  Names: 'NAMES',
  Size: 'SIZE',
  Labels: 'LABELS',
  Mounts: 'MOUNTS',
  LocalVolumes: 'LOCAL VOLUMES',
  Networks: 'NETWORKS',
};
const COLUMNS = ['ID', 'Image', 'Command', 'RunningFor', 'Status', 'Ports', 'Names'];
const ERRORS = {
  parse: 'failed to parse template: ',
  execute: 'failed to execute template: ',
};
const SIZE_DIGITS = 3;
const COMMAND_LENGTH = 20;
const MOUNT_LENGTH = 15;

export const ls = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    all: flag('Show all containers (default shows just running)', { shorthand: 'a' }),
    filter: filterFlag(),
    format: formatFlag(),
    last: integer('Show n last created containers (includes all states)', { shorthand: 'n', initial: -1 }),
    latest: flag('Show the latest created container (includes all states)', { shorthand: 'l' }),
    'no-trunc': noTruncFlag(),
    quiet: quietFlag('Only display container IDs'),
    size: flag('Display total file sizes', { shorthand: 's' }),
    watch: flag('Draw the list anew when containers change, and each second', { shorthand: 'w' }),
  },
  examples: ['berth ps -a --filter status=exited', "berth ps --format '{{.Names}}: {{.Status}}'"],
  async run(context, { values }) {
    if (values.watch) return (await import('./watch.ts')).drawAnew(context, (room) => picture(context, values, room));
    context.io.out(await picture(context, values));
    return 0;
  },
});

interface Values {
  readonly all: boolean;
  readonly filter: readonly string[];
  readonly format: string;
  readonly last: number;
  readonly latest: boolean;
  readonly 'no-trunc': boolean;
  readonly quiet: boolean;
  readonly size: boolean;
}

async function picture(context: CommandContext, values: Values, room?: number): Promise<string> {
  const limit = values.latest ? 1 : values.last;
  const containers = await listContainers(context.client(), {
    all: values.all || limit > 0,
    limit,
    size: values.size || /\{\{[^}]*\.Size/.test(values.format),
    filters: parseFilters(values.filter),
  });
  const now = Date.now();
  const listing = {
    rows: containers.map((one) => rowOf(one, values['no-trunc'], now)),
    columns: values.size ? [...COLUMNS, 'Size'] : COLUMNS,
    headings: HEADINGS,
    quietField: 'ID',
    errors: ERRORS,
    type: '*formatter.ContainerContext',
  };
  return printListing(listing, { ...formatOr(context, values, 'psFormat'), room });
}

function rowOf(container: ContainerSummary, whole: boolean, now: number): Row {
  const { Labels, Mounts, NetworkSettings, SizeRw = 0, SizeRootFs = 0 } = container;
  const command = container.Command;
  const mounts = (Mounts ?? []).map((mount) => mount.Name ?? mount.Source);
  return {
    ID: whole ? container.Id : shortId(container.Id),
    Image: imageOf(container, whole),
    Command: `"${whole ? command : ellipsis(command, COMMAND_LENGTH)}"`,
    // Looked at by few: the first question for the time zone costs 5 ms and 4 MB.
    get CreatedAt() {
      return goTime(container.Created);
    },
    RunningFor: ago(container.Created, now),
    Status: container.Status,
    State: container.State,
    Ports: formatPorts(container.Ports ?? []),
    Names: namesOf(container.Names ?? [], whole),
    Size:
      SizeRootFs > 0
        ? `${humanSize(SizeRw, SIZE_DIGITS)} (virtual ${humanSize(SizeRootFs, SIZE_DIGITS)})`
        : humanSize(SizeRw, SIZE_DIGITS),
    Labels: Object.entries(Labels ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
    Mounts: mounts.map((name) => (whole ? name : ellipsis(name, MOUNT_LENGTH))).join(','),
    LocalVolumes: String((Mounts ?? []).filter((mount) => mount.Driver === 'local').length),
    Networks: Object.keys(NetworkSettings?.Networks ?? {}).join(','),
    Platform: null,
    Label: labelOf(Labels),
  };
}

/** An image that was removed or retagged is shown by its short id. */
function imageOf({ Image, ImageID }: ContainerSummary, whole: boolean): string {
  if (Image === '') return '<no image>';
  return !whole && Image === ImageID
    ? shortId(ImageID)
    : !whole && Image.startsWith('sha256:')
      ? shortId(Image)
      : Image;
}

/** Names of links (`/other/alias`) are shown only in full. */
function namesOf(names: readonly string[], whole: boolean): string {
  const plain = names.map((name) => name.replace(/^\//, ''));
  return (whole ? plain : plain.filter((name) => !name.includes('/'))).join(',');
}

/** `0.0.0.0:80->80/tcp, 443/tcp`; runs of neighbours become ranges. */
export function formatPorts(ports: readonly PortSummary[]): string {
  const sorted = ports.toSorted(
    (a, b) =>
      a.PrivatePort - b.PrivatePort ||
      compareText(a.IP ?? '', b.IP ?? '') ||
      (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
      compareText(a.Type, b.Type),
  );
  interface Run {
    readonly ip: string;
    readonly type: string;
    readonly first: number;
    readonly public: number;
    last: number;
  }
  const runs: Run[] = [];
  for (const { IP: ip = '', Type: type, PrivatePort: port, PublicPort: published = 0 } of sorted) {
    const run = runs.find(
      (one) =>
        one.ip === ip &&
        one.type === type &&
        one.last + 1 === port &&
        (published === 0 ? one.public === 0 : one.public !== 0 && one.public + (port - one.first) === published),
    );
    if (run !== undefined) run.last = port;
    else runs.push({ ip, type, first: port, last: port, public: published });
  }
  return runs
    .map(({ ip, type, first, last, public: published }) => {
      const range = (from: number) => (last === first ? String(from) : `${from}-${from + last - first}`);
      const host = ip.includes(':') ? `[${ip}]` : ip;
      return `${published === 0 ? '' : `${host}:${range(published)}->`}${range(first)}/${type}`;
    })
    .join(', ');
}

/** By code units: the order does not depend on a language. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
