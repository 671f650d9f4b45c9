/** The picture of `berth top`: lines for a terminal of a given size. Pure. */
import type { ContainerSummary } from '#api/types/container.ts';
import type { ContainerStats } from '#api/types/stats.ts';
import { cpuPercent, memoryUsed, statsRow } from '../container/stats-row.ts';
import { nameOf } from '../container/stats-board.ts';

export const ORDERS = ['cpu', 'memory', 'name'] as const;
export type Order = (typeof ORDERS)[number];

export interface Overview {
  readonly containers: readonly ContainerSummary[];
  readonly frames: ReadonlyMap<string, ContainerStats>;
  /** Id of the marked line. */
  readonly marked: string;
  readonly order: Order;
  /** What the last key did, or why it could not. */
  readonly message: string;
}

type Cells = Readonly<Record<string, string>>;
interface Column {
  readonly heading: string;
  readonly width: number;
  text(container: ContainerSummary, figures: Cells): string;
}

const figure = (heading: string, width: number, key: string): Column => ({
  heading,
  width,
  text: (_, figures) => figures[key] ?? '',
});
const CPU = figure('CPU %', 8, 'CPUPerc');
const MEMORY_AND_LIMIT = figure('MEM USAGE / LIMIT', 22, 'MemUsage');
const MEMORY: Column = {
  heading: 'MEM',
  width: 9,
  text: (_, figures) => (figures['MemUsage'] ?? '').split(' ')[0] ?? '',
};
const TRAFFIC = [figure('NET I/O', 15, 'NetIO'), figure('BLOCK I/O', 15, 'BlockIO')];
const PIDS = figure('PIDS', 5, 'PIDs');
const STATUS: Column = { heading: 'STATUS', width: 30, text: ({ Status }) => Status };
/** Healthy or not, where there is a probe; else how it is. */
const STATE: Column = {
  heading: 'STATE',
  width: 9,
  text: ({ State, Status }) => /\((?:health: )?(\w+)\)$/.exec(Status)?.[1] ?? State,
};
/** Beside the name, which has the rest; the first that leaves it enough is taken. */
const LAYOUTS: readonly (readonly Column[])[] = [
  [CPU, MEMORY_AND_LIMIT, ...TRAFFIC, PIDS, STATUS],
  [CPU, MEMORY, ...TRAFFIC, STATE],
  [CPU, MEMORY, STATE],
  [CPU],
];
const NAME_LEAST = 14;
const NAME_MOST = 64;
const KEYS = [
  'q quit  ↑↓ choose  s stop  k kill  r restart  p pause  l logs  e shell  c/m/n order',
  'q quit  ↑↓  s stop  k kill  r restart  p pause  l logs  e shell  c/m/n order',
  'q quit  ↑↓ s k r p l e',
];

/** Ids in the order in which they are shown. */
export function orderedIds(overview: Overview): string[] {
  const { containers, frames, order } = overview;
  const name = (one: ContainerSummary) => nameOf(one.Names[0] ?? '');
  const figure = ({ Id }: ContainerSummary): number => {
    const frame = frames.get(Id);
    if (frame === undefined || order === 'name') return 0;
    return order === 'cpu' ? cpuPercent(frame) : memoryUsed(frame);
  };
  return containers.toSorted((a, b) => figure(b) - figure(a) || (name(a) < name(b) ? -1 : 1)).map(({ Id }) => Id);
}

/** Exactly `rows` lines (fewer when there is no room), none wider than `columns`. `colour`: with escapes. */
export function picture(overview: Overview, rows: number, columns: number, colour: boolean): string[] {
  const { containers, frames, marked, message, order } = overview;
  const byId = new Map(containers.map((one) => [one.Id, one]));
  const ids = orderedIds(overview);
  const total = ids.reduce((sum, id) => sum + (frames.has(id) ? cpuOf(frames, id) : 0), 0);
  const head = fit(`berth: ${containers.length} running, ${total.toFixed(1)} % of a processor, by ${order}`, columns);
  const room = Math.max(0, rows - 3);
  // The marked line stays in view.
  const at = Math.max(0, ids.indexOf(marked));
  const from = Math.min(Math.max(0, at - room + 1), Math.max(0, ids.length - room));
  // Without colours the marked line begins with a sign, and so the others with a blank.
  const width = colour ? columns : columns - 1;
  const layout = layoutFor(width, Math.max(0, ...containers.map((one) => displayedName(one).length)));
  const lines = ids.slice(from, from + room).map((id) => {
    const container = byId.get(id);
    const line = container === undefined ? '' : fit(lineOf(layout, container, frames.get(id)), width);
    if (!colour) return fit(`${id === marked ? '>' : ' '}${line}`, columns);
    return id === marked ? `\x1b[7m${line.padEnd(columns)}\x1b[0m` : line;
  });
  while (lines.length < room) lines.push('');
  const heading = fit(
    join(
      layout,
      layout.columns.map((column) => column.heading),
      'NAME',
    ),
    width,
  );
  const foot = message === '' ? (KEYS.find((keys) => keys.length <= columns) ?? KEYS.at(-1) ?? '') : message;
  const all = [
    head,
    colour ? `\x1b[1m${heading}\x1b[0m` : fit(` ${heading}`, columns),
    ...lines,
    fit(plain(foot.replaceAll('\n', ' ')), columns),
  ];
  return all.slice(0, Math.max(0, rows));
}

interface Layout {
  readonly name: number;
  readonly columns: readonly Column[];
}

function layoutFor(columns: number, longestName: number): Layout {
  for (const layout of LAYOUTS) {
    const left = columns - layout.reduce((sum, { width }) => sum + width + 1, 0);
    if (left >= NAME_LEAST)
      return { name: Math.min(left, Math.max(NAME_LEAST, longestName), NAME_MOST), columns: layout };
  }
  return { name: columns, columns: [] };
}

function cpuOf(frames: ReadonlyMap<string, ContainerStats>, id: string): number {
  const frame = frames.get(id);
  return frame === undefined ? 0 : cpuPercent(frame);
}

const displayedName = (container: ContainerSummary): string => nameOf(container.Names[0] ?? '');

function lineOf(layout: Layout, container: ContainerSummary, frame: ContainerStats | undefined): string {
  const name = displayedName(container);
  const figures = Object.fromEntries(
    Object.entries(statsRow({ id: container.Id, name }, frame, false)).map(([key, value]) => [key, String(value)]),
  );
  return join(
    layout,
    layout.columns.map((column) => column.text(container, figures)),
    name,
  );
}

function join({ name, columns }: Layout, texts: readonly string[], first: string): string {
  const cell = (text: string, width: number) => fit(plain(text), width).padEnd(width);
  return [cell(first, name), ...texts.map((text, i) => cell(text, columns[i]?.width ?? 0))].join(' ').trimEnd();
}

/** Names and states come from others: nothing in them reaches the terminal but text. */
function plain(text: string): string {
  return text.replace(/\p{C}/gu, '?');
}

function fit(text: string, width: number): string {
  const points = Array.from(text);
  if (points.length <= width) return text;
  return width < 2 ? points.slice(0, Math.max(0, width)).join('') : `${points.slice(0, width - 1).join('')}…`;
}
