/** `image tree`: images by the layers that they share; `image diff`: what differs between two of them. */
import { diffOfImages, treeOfImages } from '#api/client/image-upkeep.ts';
import type { ImageTreeLayer } from '#api/types/image-upkeep.ts';
import { humanSize } from '#pkg/units/size.ts';
import { defineCommand } from '../command.ts';
import { noTruncFlag } from '../common-flags.ts';
import { flag } from '../flags/flag-spec.ts';
import { ellipsis, shortId } from '../format/human.ts';

const SIZE_DIGITS = 3;
const STEP_LENGTH = 60;

export const tree = defineCommand({
  operands: '[IMAGE]',
  count: [0, 1],
  flags: { json: flag('Print as JSON'), 'no-trunc': noTruncFlag() },
  examples: ['berth image tree', 'berth image tree myapp:1.2'],
  async run(context, { values, positionals: [image = ''] }) {
    const layers = await treeOfImages(context.client(), image);
    if (values.json) context.io.out(`${JSON.stringify(layers)}\n`);
    else context.io.out(drawTree(layers, values['no-trunc']));
  },
});

function drawTree(layers: readonly ImageTreeLayer[], whole: boolean): string {
  const children = new Map<string, ImageTreeLayer[]>();
  for (const layer of layers) children.set(layer.Parent, [...(children.get(layer.Parent) ?? []), layer]);
  const lines: string[] = [];
  const draw = (layer: ImageTreeLayer, lead: string, branch: string, rest: string): void => {
    const step = layer.CreatedBy.replace(/\s+/g, ' ');
    const text = whole ? step : ellipsis(step, STEP_LENGTH);
    const id = whole ? layer.ChainId : shortId(layer.ChainId);
    lines.push(`${lead}${branch}${id} ${humanSize(layer.Size, SIZE_DIGITS)}${text === '' ? '' : `  ${text}`}`);
    const below = children.get(layer.ChainId) ?? [];
    for (const { Id, Names, Platform, Locked } of layer.Images) {
      const names = Names.length === 0 ? shortId(Id) : Names.join(', ');
      lines.push(`${lead}${rest}${below.length > 0 ? '│ ' : '  '}● ${names} (${Platform}${Locked ? ', locked' : ''})`);
    }
    for (const [i, child] of below.entries()) {
      const isLast = i === below.length - 1;
      draw(child, lead + rest, isLast ? '└─ ' : '├─ ', isLast ? '   ' : '│  ');
    }
  };
  for (const root of children.get('') ?? []) draw(root, '', '', '');
  return lines.map((line) => `${line}\n`).join('');
}

export const diff = defineCommand({
  operands: 'IMAGE IMAGE',
  count: [2, 2],
  flags: { json: flag('Print as JSON'), summary: flag('Only the counts') },
  examples: ['berth image diff myapp:1.1 myapp:1.2'],
  async run(context, { values, positionals: [from = '', to = ''] }) {
    const difference = await diffOfImages(context.client(), from, to);
    if (values.json) {
      context.io.out(`${JSON.stringify(difference)}\n`);
      return;
    }
    const { Files, Config, SharedLayers, SharedSize } = difference;
    const signed = (bytes: number): string => `${bytes < 0 ? '-' : '+'}${humanSize(Math.abs(bytes), SIZE_DIGITS)}`;
    if (!values.summary) {
      for (const { Kind, Path, Delta } of Files) {
        context.io.out(`${Kind} ${printable(Path)}${Delta === 0 ? '' : ` (${signed(Delta)})`}\n`);
      }
    }
    for (const { Key, From, To } of Config) context.io.out(`${Key}: ${JSON.stringify(From)} → ${JSON.stringify(To)}\n`);
    const count = (kind: string): number => Files.filter((file) => file.Kind === kind).length;
    const total = Files.reduce((sum, { Delta }) => sum + Delta, 0);
    context.io.out(
      `${count('A')} added, ${count('C')} changed, ${count('D')} deleted, ${signed(total)}; ` +
        `${SharedLayers} layers shared (${humanSize(SharedSize, SIZE_DIGITS)})\n`,
    );
  },
});

/** Names come from images: nothing of them may steer the terminal. */
const printable = (path: string): string => path.replace(/\p{Cc}/gu, '?');
