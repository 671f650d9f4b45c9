/** `--platform` of the commands on images: as people write it on the way in, as the API wants it (JSON) on the way out. */
import { ExitError } from '../command.ts';
import { list, text } from '../flags/flag-spec.ts';

const help = (what: string): string => `${what}. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")`;
const COMPONENT = /^[A-Za-z0-9_.-]+$/;
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', x86_64: 'amd64', aarch64: 'arm64' };

export const platformFlag = (what: string) => text(help(what));
export const platformsFlag = (what: string) => list(help(what), { typeName: 'strings' });

/** '' stays ''. Errors: ExitError. */
export function platformJson(given: string): string {
  if (given === '') return '';
  const parts = given.toLowerCase().split('/');
  if (parts.length > 3 || !parts.every((part) => COMPONENT.test(part))) {
    throw new ExitError(1, `${JSON.stringify(given)}: cannot parse platform specifier: invalid argument`);
  }
  const [os = '', second, variant] = parts;
  const architecture = second ?? process.arch;
  return JSON.stringify({
    architecture: architectures[architecture] ?? architecture,
    os,
    ...(variant === undefined ? {} : { variant }),
  });
}
