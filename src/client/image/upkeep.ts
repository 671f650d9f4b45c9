/** `image lock`, `unlock`, `undo` and `trash`: what people do so that images stay, or come back. */
import { autoUpdate, emptyTrash, listTrash, lockImage, outdatedImages, undoRemoval } from '#api/client/image-upkeep.ts';
import { defineCommand, ExitError } from '../command.ts';
import { formatFlag, quietFlag } from '../common-flags.ts';
import { configHeaders } from '../registry/all-credentials.ts';
import { forEachName } from '../each.ts';
import { flag, integer, text } from '../flags/flag-spec.ts';
import { ago, shortId } from '../format/human.ts';
import { printListing } from '../format/listing.ts';

const MS_PER_SECOND = 1000;

const locking = (locked: boolean, example: string) =>
  defineCommand({
    operands: 'IMAGE [IMAGE...]',
    count: [1, Infinity],
    flags: {},
    examples: [example],
    run: (context, { positionals }) =>
      forEachName(context, positionals, (image) => lockImage(context.client(), image, locked)),
  });

export const lock = locking(true, 'berth image lock postgres:16');
export const unlock = locking(false, 'berth image unlock postgres:16');

export const undo = defineCommand({
  operands: '[IMAGE]',
  count: [0, 1],
  flags: {},
  examples: ['berth image undo', 'berth image undo myapp:1.2'],
  async run(context, { positionals: [image = ''] }) {
    const { Ids, Names, Taken } = await undoRemoval(context.client(), image);
    for (const name of Names.length > 0 ? Names : Ids) context.io.out(`Restored: ${name}\n`);
    for (const name of Taken) context.io.err(`${name} means another image by now and was left with it\n`);
  },
});

export const trash = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    empty: flag('Delete for good what lies in the trash'),
    format: formatFlag(),
    quiet: quietFlag('Only show image IDs'),
  },
  async run(context, { values }) {
    const client = context.client();
    if (values.empty) {
      if (values.quiet || values.format !== '') throw new ExitError(1, '--empty shows nothing');
      context.io.out(`Emptied: ${(await emptyTrash(client)).Removals}\n`);
      return;
    }
    const now = Date.now();
    const seconds = (text: string): number => Date.parse(text) / MS_PER_SECOND;
    const rows = (await listTrash(client)).flatMap(({ RemovedAt, Until, Reason, Images }) =>
      Images.map(({ Id, Names }) => ({
        ID: values.quiet ? Id : shortId(Id),
        Names: Names.length === 0 ? '<none>' : Names.join(', '),
        Removed: ago(seconds(RemovedAt), now),
        Reason,
        Until,
      })),
    );
    const columns = ['ID', 'Names', 'Removed', 'Reason', 'Until'];
    const headings = { ID: 'IMAGE ID', Names: 'NAMES', Removed: 'REMOVED', Reason: 'BY', Until: 'UNTIL' };
    context.io.out(printListing({ rows, columns, headings, quietField: 'ID' }, values));
  },
});

const authFileFlag = () =>
  text("File with the credentials of registries, as docker's config.json (default: config.json itself)");

export const outdated = defineCommand({
  operands: '[IMAGE...]',
  count: [0, Infinity],
  flags: {
    all: flag('Show also images that are current', { shorthand: 'a' }),
    authfile: authFileFlag(),
    format: formatFlag(),
    quiet: quietFlag('Only show names'),
  },
  examples: ['berth image outdated', 'berth image outdated --all postgres:16'],
  async run(context, { values, positionals }) {
    const found = await outdatedImages(context.client(), positionals, await configHeaders(context, values.authfile));
    const rows = found
      .filter(({ Status }) => values.all || Status !== 'current')
      .map(({ Name, Status, Digest, RemoteDigest, Error }) => ({
        Name,
        Status,
        Digest: Digest === '' ? '<none>' : shortId(Digest),
        RemoteDigest: RemoteDigest === '' ? '<none>' : shortId(RemoteDigest),
        Error,
      }));
    const columns = ['Name', 'Status', 'Digest', 'RemoteDigest', 'Error'];
    const headings = {
      Name: 'NAME',
      Status: 'STATUS',
      Digest: 'HERE',
      RemoteDigest: 'IN THE REGISTRY',
      Error: 'ERROR',
    };
    context.io.out(printListing({ rows, columns, headings, quietField: 'Name' }, values));
    return found.some(({ Status }) => Status === 'unknown') ? 1 : 0;
  },
});

const SETTLE_SECONDS = 3;
const HEALTHY_SECONDS = 120;

export const autoUpdateCommand = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    authfile: authFileFlag(),
    'dry-run': flag('Only tell which containers would be updated'),
    format: formatFlag(),
    'health-timeout': integer('Seconds within which a new container has to be healthy', { initial: HEALTHY_SECONDS }),
    settle: integer('Seconds that a new container without health check has to run', { initial: SETTLE_SECONDS }),
  },
  examples: ['berth run -d --label io.containers.autoupdate=registry nginx', 'berth image auto-update --dry-run'],
  async run(context, { values }) {
    const rows = await autoUpdate(context.client(), {
      dryRun: values['dry-run'],
      settleSeconds: values.settle,
      healthySeconds: values['health-timeout'],
      headers: await configHeaders(context, values.authfile),
    });
    const shown = rows.map((row) => ({ ...row, ContainerId: shortId(row.ContainerId) }));
    const columns = ['Container', 'ContainerId', 'Image', 'Policy', 'Updated', 'Error'];
    const headings = {
      Container: 'CONTAINER',
      ContainerId: 'ID',
      Image: 'IMAGE',
      Policy: 'POLICY',
      Updated: 'UPDATED',
      Error: 'ERROR',
    };
    const listing = { rows: shown, columns, headings, quietField: 'Container' };
    context.io.out(printListing(listing, { format: values.format, quiet: false }));
    return rows.some(({ Updated }) => Updated === 'failed' || Updated === 'rolled back') ? 1 : 0;
  },
});
