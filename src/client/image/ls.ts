/** `images`. */
import type { ImageSummary } from '#api/types/image.ts';
import { listImages } from '#api/client/images.ts';
import { humanSize } from '#pkg/units/size.ts';
import { defineCommand } from '../command.ts';
import { filterFlag, formatFlag, noTruncFlag, quietFlag, formatOr } from '../common-flags.ts';
import { parseFilters } from '../filters.ts';
import { flag } from '../flags/flag-spec.ts';
import { ago, goTime, shortId } from '../format/human.ts';
import { printListing, type Row } from '../format/listing.ts';

const HEADINGS = {
  Repository: 'REPOSITORY',
  Tag: 'TAG',
  Digest: 'DIGEST',
  ID: 'IMAGE ID',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  Size: 'SIZE',
};
const SIZE_DIGITS = 3;
const NONE = '<none>';

export const images = defineCommand({
  operands: '[REPOSITORY[:TAG]]',
  count: [0, 1],
  flags: {
    all: flag('Show all images (default hides intermediate images)', { shorthand: 'a' }),
    digests: flag('Show digests'),
    filter: filterFlag(),
    format: formatFlag(),
    'no-trunc': noTruncFlag(),
    quiet: quietFlag('Only show image IDs'),
    tree: flag('List multi-platform images as a tree'),
  },
  async run(context, { values, positionals: [reference] }) {
    const filters = parseFilters(values.filter);
    if (reference !== undefined) filters.set('reference', [...(filters.get('reference') ?? []), reference]);
    if (values.tree) {
      const { refuseWithTree, drawPlatforms } = await import('./ls-tree.ts');
      refuseWithTree(values);
      context.io.out(drawPlatforms(await listImages(context.client(), { all: values.all, filters, manifests: true })));
      return;
    }
    const list = await listImages(context.client(), { all: values.all, filters });
    const now = Date.now();
    const withDigests = values.digests || /\{\{[^}]*\.Digest/.test(values.format);
    const rows = list.flatMap((image) => rowsOf(image, { whole: values['no-trunc'], now, withDigests }));
    const columns = ['Repository', 'Tag', ...(values.digests ? ['Digest'] : []), 'ID', 'CreatedSince', 'Size'];
    context.io.out(
      printListing(
        { type: '*formatter.imageContext', rows, columns, headings: HEADINGS, quietField: 'ID' },
        formatOr(context, values, 'imagesFormat'),
      ),
    );
  },
});

interface Shape {
  readonly whole: boolean;
  readonly now: number;
  readonly withDigests: boolean;
}

/** One row for each tag, and for each digest of a repository without one. */
function rowsOf(image: ImageSummary, shape: Shape): Row[] {
  const tags = (image.RepoTags ?? []).filter((tag) => tag !== `${NONE}:${NONE}`).map((tag) => splitLast(tag, ':'));
  const digests = (image.RepoDigests ?? []).filter((d) => d !== `${NONE}@${NONE}`).map((d) => splitLast(d, '@'));
  const row = (repository: string, tag: string, digest: string): Row => ({
    Containers: image.Containers === -1 ? 'N/A' : String(image.Containers),
    // Looked at by few: the first question for the time zone costs 5 ms and 4 MB.
    get CreatedAt() {
      return goTime(image.Created);
    },
    CreatedSince: ago(image.Created, shape.now),
    Digest: digest,
    ID: shape.whole ? image.Id : shortId(image.Id),
    Repository: repository,
    SharedSize: image.SharedSize === -1 ? 'N/A' : humanSize(image.SharedSize, SIZE_DIGITS),
    Size: humanSize(image.Size, SIZE_DIGITS),
    Tag: tag,
    UniqueSize: 'N/A',
    VirtualSize: humanSize(image.VirtualSize ?? image.Size),
  });
  const rows = tags.flatMap(([repository, tag]) => {
    const own = shape.withDigests ? digests.filter(([name]) => name === repository) : [];
    return own.length === 0 ? [row(repository, tag, NONE)] : own.map(([, digest]) => row(repository, tag, digest));
  });
  for (const [repository, digest] of digests) {
    if (!tags.some(([name]) => name === repository)) rows.push(row(repository, NONE, digest));
  }
  return rows.length > 0 ? rows : [row(NONE, NONE, NONE)];
}

function splitLast(text: string, separator: string): readonly [string, string] {
  const at = text.lastIndexOf(separator);
  return at < 0 ? [text, NONE] : [text.slice(0, at), text.slice(at + 1)];
}
