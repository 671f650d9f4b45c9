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

const HEADINGS = ['NAME', 'CPU %', 'MEM USAGE / LIMIT', 'NET I/O', 'BLOCK I/O', 'PIDS', 'STATUS'];
const WIDTHS = [20, 8, 22, 19, 19, 5, 30];
const KEYS = '↑↓ choose  c/m/n order  s stop  k kill  r restart  p pause  l logs  e shell  q quit';

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
  const lines = ids.slice(from, from + room).map((id) => {
    const line = fit(cells(byId.get(id), frames.get(id)), columns);
    return id === marked && colour
      ? `\x1b[7m${line.padEnd(columns)}\x1b[0m`
      : id === marked
        ? fit(`>${line}`, columns)
        : line;
  });
  while (lines.length < room) lines.push('');
  const heading = fit(row(HEADINGS), columns);
  const all = [
    head,
    colour ? `\x1b[1m${heading}\x1b[0m` : heading,
    ...lines,
    fit(message === '' ? KEYS : message, columns),
  ];
  return all.slice(0, Math.max(0, rows));
}

function cpuOf(frames: ReadonlyMap<string, ContainerStats>, id: string): number {
  const frame = frames.get(id);
  return frame === undefined ? 0 : cpuPercent(frame);
}

function cells(container: ContainerSummary | undefined, frame: ContainerStats | undefined): string {
  if (container === undefined) return '';
  const name = nameOf(container.Names[0] ?? '');
  const { CPUPerc, MemUsage, NetIO, BlockIO, PIDs } = statsRow({ id: container.Id, name }, frame, false);
  return row([name, CPUPerc, MemUsage, NetIO, BlockIO, PIDs, container.Status].map(String));
}

function row(texts: readonly string[]): string {
  return texts
    .map((text, i) => fit(plain(text), WIDTHS[i] ?? 0).padEnd(WIDTHS[i] ?? 0))
    .join(' ')
    .trimEnd();
}

/** Names and states come from others: nothing in them reaches the terminal but text. */
function plain(text: string): string {
  return text.replace(/\p{C}/gu, '?');
}

function fit(text: string, width: number): string {
  const points = Array.from(text);
  return points.length <= width ? text : points.slice(0, Math.max(0, width)).join('');
}
