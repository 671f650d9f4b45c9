/** Values of log options as Go's libraries read them, with their words for what is wrong. */
import { invalidParameter } from '#errdefs/errors.ts';

export type LogOptions = Readonly<Record<string, string>>;

/** strconv.ParseBool. */
export function parseBool(text: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw invalidParameter(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** strconv.Atoi. */
export function parseInteger(text: string): number {
  if (/^[+-]?\d+$/.test(text)) return Number(text);
  throw invalidParameter(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** Sizes of files count in thousands: 10m is 10,000,000 (go-units FromHumanSize). */
export const parseHumanSize = (text: string): number => parseSize(text, 1000);

/** Sizes of buffers count in 1024s (go-units RAMInBytes). */
export const parseRamSize = (text: string): number => parseSize(text, 1024);

function parseSize(text: string, unit: number): number {
  const match = /^(-?\d+(?:\.\d+)?) ?(?:([kKmMgGtTpP])(?:i?[bB])?|[bB])?$/.exec(text);
  if (match === null) throw invalidParameter(`invalid size: '${text}'`);
  const power = match[2] === undefined ? 0 : 'kmgtp'.indexOf(match[2].toLowerCase()) + 1;
  return Math.floor(Number(match[1]) * unit ** power);
}

/** A regular expression of Go; its leading flags are the only syntax of common use that JavaScript writes otherwise. */
export function parseExpression(name: string, text: string | undefined): RegExp | undefined {
  if (text === undefined || text === '') return undefined;
  const match = /^\(\?([ims]+)\)(.*)$/s.exec(text);
  try {
    return match === null ? new RegExp(text) : new RegExp(match[2] ?? '', match[1]);
  } catch (cause) {
    throw invalidParameter(`error parsing regexp of log opt "${name}": ${text}`, { cause });
  }
}
