/** `images --tree`: each name with its platforms below it. */
import type { ImageManifestSummary, ImageSummary } from '#api/types/image.ts';
import { humanSize } from '#pkg/units/size.ts';
import { ExitError } from '../command.ts';
import { shortId } from '../format/human.ts';
import { formatTable } from '../format/table.ts';

const SIZE_DIGITS = 3;

/** Errors: ExitError. */
export function refuseWithTree(values: {
  readonly quiet: boolean;
  readonly digests: boolean;
  readonly format: string;
  readonly 'no-trunc': boolean;
}): void {
  for (const name of ['quiet', 'digests', 'no-trunc'] as const) {
    if (values[name]) throw new ExitError(1, `--${name} is not yet supported with --tree`);
  }
  if (values.format !== '') throw new ExitError(1, '--format is not yet supported with --tree');
}

export function drawPlatforms(images: readonly ImageSummary[]): string {
  const size = (bytes: number): string => humanSize(bytes, SIZE_DIGITS);
  const rows: string[][] = [['IMAGE', 'ID', 'DISK USAGE', 'CONTENT SIZE', 'IN USE']];
  for (const image of images) {
    const platforms = (image.Manifests ?? []).filter(({ Kind }) => Kind === 'image');
    const sum = (of: (manifest: ImageManifestSummary) => number): number =>
      (image.Manifests ?? []).reduce((total, manifest) => total + of(manifest), 0);
    const used = platforms.some(({ ImageData }) => (ImageData?.Containers.length ?? 0) > 0);
    const total = platforms.length === 0 ? image.Size : sum(({ Size }) => Size.Total);
    const [first = '<untagged>', ...others] = image.RepoTags;
    const mark = used || image.Containers > 0 ? '✔' : '';
    rows.push([first, shortId(image.Id), size(total), size(sum(({ Size }) => Size.Content)), mark]);
    for (const name of others) rows.push([name, '', '', '', '']);
    for (const [i, { ID, Available, Size, ImageData }] of platforms.entries()) {
      const { os = '', architecture = '', variant } = ImageData?.Platform ?? {};
      const name = [os, architecture, variant].filter((part) => part !== undefined && part !== '').join('/');
      rows.push([
        `${i === platforms.length - 1 ? '└─' : '├─'} ${name}`,
        shortId(ID),
        Available ? size(Size.Total) : 'not here',
        size(Size.Content),
        (ImageData?.Containers.length ?? 0) > 0 ? '✔' : '',
      ]);
    }
  }
  return formatTable(rows);
}
