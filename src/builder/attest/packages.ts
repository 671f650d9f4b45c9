/** Databases of package managers, read as text. They are an image's: hostile, bounded, and never followed. Pure. */

export interface FoundPackage {
  readonly kind: 'deb' | 'apk' | 'npm' | 'rpm';
  readonly name: string;
  readonly version: string;
  /** Of rpm: what orders versions before they are looked at. */
  readonly epoch?: string | undefined;
  readonly architecture: string | undefined;
  /** As the package says it; undefined: it does not. */
  readonly license: string | undefined;
  readonly supplier: string | undefined;
  /** The source package, where it has another name. */
  readonly source: string | undefined;
  /** Where it is said. */
  readonly path: string;
}

const FIELD_MAX = 4096;

/** Paragraphs of `Name: value`; lines that begin with a space go on the one before and are of no interest here. */
function paragraphs(text: string): Map<string, string>[] {
  const found: Map<string, string>[] = [];
  for (const paragraph of text.split(/\n(?:[ \t]*\n)+/)) {
    const fields = new Map<string, string>();
    for (const line of paragraph.split('\n')) {
      const match = /^([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)$/.exec(line);
      if (match !== null) fields.set((match[1] ?? '').toLowerCase(), (match[2] ?? '').trim().slice(0, FIELD_MAX));
    }
    if (fields.size > 0) found.push(fields);
  }
  return found;
}

/** dpkg's `status`, and the files of `status.d` of images without a package manager. */
export function dpkgPackages(text: string, path: string): FoundPackage[] {
  return paragraphs(text).flatMap((fields): FoundPackage[] => {
    const name = fields.get('package');
    const version = fields.get('version');
    const status = fields.get('status');
    // What was removed stays in the list with another status.
    if (name === undefined || version === undefined) return [];
    if (status !== undefined && !/\binstalled$/.test(status)) return [];
    return [
      {
        kind: 'deb',
        name,
        version,
        architecture: fields.get('architecture'),
        license: undefined,
        supplier: fields.get('maintainer'),
        source: fields.get('source')?.split(' ')[0],
        path,
      },
    ];
  });
}

/** apk's `installed`: letters for names. */
export function apkPackages(text: string, path: string): FoundPackage[] {
  return text.split('\n\n').flatMap((paragraph): FoundPackage[] => {
    const fields = new Map<string, string>();
    for (const line of paragraph.split('\n')) {
      // Names of files follow, of no interest here.
      if (line.startsWith('F:')) break;
      if (line[1] === ':') fields.set(line.slice(0, 1), line.slice(2, FIELD_MAX).trim());
    }
    const name = fields.get('P');
    const version = fields.get('V');
    if (name === undefined || version === undefined) return [];
    const [architecture, license, supplier, source] = ['A', 'L', 'm', 'o'].map((key) => fields.get(key));
    return [{ kind: 'apk', name, version, architecture, license, supplier, source, path }];
  });
}

/** A package.json below node_modules; undefined when it is none of a package. */
export function npmPackage(text: string, path: string): FoundPackage | undefined {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // Test data of packages is among what lies there.
    return undefined;
  }
  if (typeof document !== 'object' || document === null) return undefined;
  const fields = new Map<string, unknown>(Object.entries(document));
  const textOf = (name: string): string | undefined => {
    const value = fields.get(name);
    return typeof value === 'string' && value !== '' ? value.slice(0, FIELD_MAX) : undefined;
  };
  const name = textOf('name');
  const version = textOf('version');
  if (name === undefined || version === undefined) return undefined;
  const license = textOf('license');
  return { kind: 'npm', name, version, architecture: undefined, license, supplier: undefined, source: undefined, path };
}
