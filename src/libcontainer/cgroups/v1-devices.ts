/**
 * Device rules → lines for `devices.allow` and `devices.deny` of cgroup v1, in order. Pure.
 *
 * The kernel keeps one behaviour (all allowed, or all denied) and exceptions to it. A running container is changed by
 * the difference only: `a` to devices.deny would take its open-able devices away for a moment.
 */
import { ALL_ACCESS, type DecodedRule, DEVICE_ACCESS, decodeDeviceRule, isEverything } from './device-rules.ts';
import type { DeviceRule } from '#libcontainer/spec.ts';

export interface DeviceLine {
  readonly file: 'devices.allow' | 'devices.deny';
  readonly line: string;
}

export function deviceLines(rules: readonly DeviceRule[]): DeviceLine[] {
  return rules.map(decodeDeviceRule).flatMap((rule) => {
    const file = rule.allow ? 'devices.allow' : 'devices.deny';
    return linesOf(rule).map((line): DeviceLine => ({ file, line }));
  });
}

/** As deviceLines, but neighbours of one file together: it is opened once for all of them. */
export function deviceFiles(rules: readonly DeviceRule[]): [file: DeviceLine['file'], lines: string[]][] {
  const files: [DeviceLine['file'], string[]][] = [];
  for (const { file, line } of deviceLines(rules)) {
    const last = files.at(-1);
    if (last?.[0] === file) last[1].push(line);
    else files.push([file, [line]]);
  }
  return files;
}

function linesOf(rule: DecodedRule): string[] {
  if (isEverything(rule)) return ['a'];
  const star = (value: number | undefined) => value ?? '*';
  const access = (['r', 'w', 'm'] as const).filter((letter) => (rule.access & DEVICE_ACCESS[letter]) !== 0).join('');
  // The kernel reads nothing behind the type `a`, so a narrower rule for both types is two lines.
  const types = rule.type === undefined ? (['b', 'c'] as const) : [rule.type];
  return types.map((type) => `${type} ${star(rule.major)}:${star(rule.minor)} ${access}`);
}

/** What the rules leave allowed when all else is denied: device → access. Undefined when they leave all allowed. */
function allowList(lines: readonly DeviceLine[]): Map<string, number> | undefined {
  let list: Map<string, number> | undefined = new Map();
  for (const { file, line } of lines) {
    const allow = file === 'devices.allow';
    if (line === 'a') {
      list = allow ? undefined : new Map();
      continue;
    }
    if (list === undefined) continue;
    const [type = '', numbers = '', letters = ''] = line.split(' ');
    const device = `${type} ${numbers}`;
    const bits = accessBits(letters);
    const left = allow ? (list.get(device) ?? 0) | bits : (list.get(device) ?? 0) & ~bits;
    if (left === 0) list.delete(device);
    else list.set(device, left);
  }
  return list;
}

const accessBits = (letters: string): number =>
  (['r', 'w', 'm'] as const).reduce((bits, l) => (letters.includes(l) ? bits | DEVICE_ACCESS[l] : bits), 0);

const lettersOf = (bits: number): string =>
  (['r', 'w', 'm'] as const).filter((letter) => (bits & DEVICE_ACCESS[letter]) !== 0).join('');

/**
 * Lines that take a group from `current` (text of its devices.list) to `rules`. First what is added, then what is
 * taken away. When either side allows everything the behaviour itself changes and the whole list is written.
 */
export function deviceChange(current: string, rules: readonly DeviceRule[]): DeviceLine[] {
  const wanted = deviceLines(rules);
  const now = current.split('\n').filter((line) => line !== '');
  const target = allowList(wanted);
  if (now.some((line) => line.startsWith('a ')) || target === undefined) return wanted;
  const have = allowList(now.map((line) => ({ file: 'devices.allow', line })));
  if (have === undefined) return wanted;
  const lines: DeviceLine[] = [];
  for (const [device, bits] of target) {
    const missing = bits & ~(have.get(device) ?? 0) & ALL_ACCESS;
    if (missing !== 0) lines.push({ file: 'devices.allow', line: `${device} ${lettersOf(missing)}` });
  }
  for (const [device, bits] of have) {
    const excess = bits & ~(target.get(device) ?? 0) & ALL_ACCESS;
    if (excess !== 0) lines.push({ file: 'devices.deny', line: `${device} ${lettersOf(excess)}` });
  }
  return lines;
}
