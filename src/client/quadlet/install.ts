/**
 * `[Install]`: generated units cannot be enabled, so the links that `systemctl enable` would make are made at once. All
 * of them stay below the generator's directory.
 */
import { Keys } from './keys.ts';
import { type Source, sectionOf } from './source.ts';

export interface Link {
  /** Below the directory of units. */
  readonly path: string;
  readonly target: string;
}

const DIRECTORIES = { WantedBy: 'wants', RequiredBy: 'requires', UpheldBy: 'upholds' } as const;

export function installLinks(source: Source): { readonly links: Link[]; readonly problems: readonly string[] } {
  const keys = new Keys('Install', sectionOf(source.sections, 'Install'));
  const links: Link[] = [];
  const instance = keys.last('DefaultInstance');
  const template = source.service.endsWith('@.service');
  const name = template ? source.service.replace('@.', `@${instance ?? ''}.`) : source.service;
  for (const alias of keys.words('Alias')) links.push({ path: alias, target: source.service });
  for (const [key, suffix] of Object.entries(DIRECTORIES)) {
    for (const by of keys.words(key)) {
      // A template without an instance is nothing that could be started.
      if (!template || instance !== undefined) {
        links.push({ path: `${by}.${suffix}/${name}`, target: `../${source.service}` });
      }
    }
  }
  for (const link of links) {
    const parts = link.path.split('/');
    const expected = link.target.startsWith('../') ? 2 : 1;
    if (parts.length !== expected || parts.some((part) => part.startsWith('.') || part === '')) {
      keys.lacks(source.file, `"${link.path}" cannot be linked: a unit's name has no slash`);
    }
  }
  keys.entries('Also');
  keys.refuseUnknown();
  return { links, problems: keys.problems };
}
