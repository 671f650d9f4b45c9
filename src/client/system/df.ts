/** `system df`: what images, containers and volumes take up, and how much of it is not in use. */
import { diskUsage } from '#api/client/disk-usage.ts';
import type { BuildCache } from '#api/types/build.ts';
import type { ContainerSummary } from '#api/types/container.ts';
import type { DiskUsage } from '#api/types/disk-usage.ts';
import type { ImageSummary } from '#api/types/image.ts';
import { humanSize } from '#pkg/units/size.ts';
import { defineCommand, UsageError } from '../command.ts';
import { formatFlag } from '../common-flags.ts';
import { flag } from '../flags/flag-spec.ts';
import { ago, ellipsis, goJson, shortId } from '../format/human.ts';
import { printListing, type Row } from '../format/listing.ts';
import { formatTable } from '../format/table.ts';
import { splitReference } from '../image/split-reference.ts';

const HEADINGS = {
  Type: 'TYPE',
  TotalCount: 'TOTAL',
  Active: 'ACTIVE',
  Size: 'SIZE',
  Reclaimable: 'RECLAIMABLE',
};
const COLUMNS = ['Type', 'TotalCount', 'Active', 'Size', 'Reclaimable'];
const COMMAND_LENGTH = 20;

export const df = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    format: formatFlag(),
    verbose: flag('Show detailed information on space usage', { shorthand: 'v' }),
  },
  async run(context, { values }) {
    if (values.verbose && values.format !== '' && values.format !== 'json') {
      throw new UsageError('the verbose and the format options conflict');
    }
    const usage = await diskUsage(context.client());
    if (!values.verbose) {
      const listing = {
        rows: summaryOf(usage),
        columns: COLUMNS,
        headings: HEADINGS,
        quietField: 'Type',
        type: '*formatter.diskUsageImagesContext',
      };
      context.io.out(printListing(listing, { format: values.format, quiet: false }));
    } else if (values.format === 'json') {
      const { Images, Containers, Volumes, BuildCache } = usage;
      context.io.out(`${goJson({ Images, Containers, Volumes, BuildCache })}\n`);
    } else {
      context.io.out(detailsOf(usage, Date.now()));
    }
  },
});

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

/** With its share of all, where there is something. */
function reclaimable(bytes: number, of: number): string {
  return of > 0 ? `${humanSize(bytes)} (${Math.trunc((bytes * 100) / of)}%)` : humanSize(bytes);
}

const isActive = ({ State }: ContainerSummary): boolean => ['running', 'paused', 'restarting'].includes(State);

export function summaryOf(usage: DiskUsage): Row[] {
  const images = usage.Images ?? [];
  const containers = usage.Containers ?? [];
  const volumes = usage.Volumes ?? [];
  const sizeRw = (some: readonly ContainerSummary[]): number => sum(some.map(({ SizeRw = 0 }) => SizeRw));
  const held = (some: typeof volumes): number => sum(some.map(({ UsageData }) => Math.max(0, UsageData?.Size ?? 0)));
  const usedImages = images.filter((image) => image.Containers > 0);
  const known = usedImages.filter((image) => image.Size !== -1 && image.SharedSize !== -1);
  const imagesInUse = sum(known.map((image) => image.Size - image.SharedSize));
  const usedVolumes = volumes.filter((volume) => (volume.UsageData?.RefCount ?? 0) > 0);
  const idle = containers.filter((one) => !isActive(one));
  const row = (Type: string, total: number, active: number, Size: string, Reclaimable: string): Row => ({
    Type,
    TotalCount: String(total),
    Active: String(active),
    Size,
    Reclaimable,
  });
  const cache = usage.BuildCache ?? [];
  const inUse = cache.filter(({ InUse }) => InUse);
  const cached = cacheBytes(cache);
  const all = sizeRw(containers);
  const inVolumes = held(volumes);
  return [
    row(
      'Images',
      images.length,
      usedImages.length,
      humanSize(usage.LayersSize),
      reclaimable(usage.LayersSize - imagesInUse, usage.LayersSize),
    ),
    row(
      'Containers',
      containers.length,
      containers.length - idle.length,
      humanSize(all),
      reclaimable(sizeRw(idle), all),
    ),
    row(
      'Local Volumes',
      volumes.length,
      usedVolumes.length,
      humanSize(inVolumes),
      reclaimable(inVolumes - held(usedVolumes), inVolumes),
    ),
    row('Build Cache', cache.length, inUse.length, humanSize(cached), humanSize(cached - cacheBytes(inUse))),
  ];
}

function detailsOf(usage: DiskUsage, now: number): string {
  const images = [
    ['REPOSITORY', 'TAG', 'IMAGE ID', 'CREATED', 'SIZE', 'SHARED SIZE', 'UNIQUE SIZE', 'CONTAINERS'],
    ...(usage.Images ?? []).map((image) => imageRow(image, now)),
  ];
  const containers = [
    ['CONTAINER ID', 'IMAGE', 'COMMAND', 'LOCAL VOLUMES', 'SIZE', 'CREATED', 'STATUS', 'NAMES'],
    ...(usage.Containers ?? []).map((one) => [
      shortId(one.Id),
      one.Image,
      `"${ellipsis(one.Command, COMMAND_LENGTH)}"`,
      String(one.Mounts.filter((mount) => mount.Driver === 'local').length),
      humanSize(one.SizeRw ?? 0),
      ago(one.Created, now),
      one.Status,
      one.Names.map((name) => name.replace(/^\//, '')).join(','),
    ]),
  ];
  const volumes = [
    ['VOLUME NAME', 'LINKS', 'SIZE'],
    ...(usage.Volumes ?? []).map(({ Name, UsageData }) => [
      Name,
      UsageData === undefined ? 'N/A' : String(UsageData.RefCount),
      UsageData === undefined || UsageData.Size === -1 ? 'N/A' : humanSize(UsageData.Size),
    ]),
  ];
  const entries = (usage.BuildCache ?? []).toSorted(byLastUse);
  const cache = [
    ['CACHE ID', 'CACHE TYPE', 'SIZE', 'CREATED', 'LAST USED', 'USAGE', 'SHARED'],
    ...entries.map((entry) => cacheRow(entry, now)),
  ];
  return [
    `Images space usage:\n\n${formatTable(images)}`,
    `Containers space usage:\n\n${formatTable(containers)}`,
    `Local Volumes space usage:\n\n${formatTable(volumes)}`,
    `Build cache usage: ${humanSize(cacheBytes(entries))}\n\n${formatTable(cache)}`,
  ].join('\n');
}

const IMAGE_DIGITS = 3;

/** Of the entries that no other one has too. */
const cacheBytes = (entries: readonly BuildCache[]): number =>
  sum(entries.filter(({ Shared }) => !Shared).map(({ Size }) => Size));

/** What was never used first, then the longest unused. */
function byLastUse(a: BuildCache, b: BuildCache): number {
  const [one, other] = [a.LastUsedAt ?? '', b.LastUsedAt ?? ''];
  const [x, y] = one === other ? [a.ID, b.ID] : [one, other];
  return x < y ? -1 : 1;
}

function cacheRow({ ID, InUse, Type, Size, CreatedAt, LastUsedAt, UsageCount, Shared }: BuildCache, now: number) {
  const since = (time: string | null | undefined): string =>
    time === null || time === undefined ? '' : ago(Date.parse(time) / 1000, now);
  return [
    `${shortId(ID)}${InUse ? '*' : ''}`,
    Type,
    humanSize(Size, IMAGE_DIGITS),
    since(CreatedAt),
    since(LastUsedAt),
    String(UsageCount),
    String(Shared),
  ];
}

/** By its first name. */
function imageRow(image: ImageSummary, now: number): string[] {
  const { repository, tag } = splitReference(image.RepoTags[0] ?? '<none>:<none>');
  return [
    repository,
    tag,
    shortId(image.Id),
    ago(image.Created, now),
    humanSize(image.Size, IMAGE_DIGITS),
    humanSize(image.SharedSize),
    humanSize(image.Size - image.SharedSize),
    String(image.Containers),
  ];
}
