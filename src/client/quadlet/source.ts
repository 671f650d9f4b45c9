/** One quadlet file as it is known to the others: what it makes, and the unit that makes it. */
import type { Section } from './unit-file.ts';

export const KINDS = ['container', 'volume', 'network'] as const;
export type Kind = (typeof KINDS)[number];
export const SECTION_OF: Readonly<Record<Kind, string>> = {
  container: 'Container',
  volume: 'Volume',
  network: 'Network',
};

export interface Source {
  /** `web.container`. */
  readonly name: string;
  readonly kind: Kind;
  readonly file: string;
  readonly sections: readonly Section[];
  /** `web.service`, `data-volume.service`. */
  readonly service: string;
  /** Of the container, volume or network: `systemd-web` if the file does not say. */
  readonly resource: string;
}

/** What translating one file needs of the world. */
export interface Surroundings {
  find(name: string): Source | undefined;
  deviceExists(path: string): boolean;
  readonly program: string;
}

/** What the kind's own section comes to. */
export interface Translation {
  readonly service: readonly (readonly [key: string, value: string])[];
  /** Units that must have been started. */
  readonly needs: readonly string[];
}

export function sectionOf(sections: readonly Section[], name: string): Section | undefined {
  return sections.find((section) => section.name === name);
}

/** Every kind's last assignment of a key; an empty one is none. */
export function lastValue(section: Section | undefined, key: string): string | undefined {
  const value = section?.entries.findLast((entry) => entry.key === key)?.value;
  return value === '' ? undefined : value;
}

export function describeSource(name: string, file: string, sections: readonly Section[]): Source | undefined {
  const kind = KINDS.find((one) => name.endsWith(`.${one}`));
  if (kind === undefined) return undefined;
  const stem = name.slice(0, -kind.length - 1);
  const own = sectionOf(sections, SECTION_OF[kind]);
  const service = lastValue(own, 'ServiceName') ?? (kind === 'container' ? stem : `${stem}-${kind}`);
  const resource = lastValue(own, `${SECTION_OF[kind]}Name`) ?? `systemd-${stem}`;
  return { name, kind, file, sections, service: `${service}.service`, resource };
}
