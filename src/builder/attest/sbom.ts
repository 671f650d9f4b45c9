/**
 * What an image is made of, as SPDX: packages of dpkg, apk, rpm and npm by their databases. An image with a database that
 * is not read here (rpm's older forms) is refused: a list that leaves out what it has is worse than none.
 */
import { createHash } from 'node:crypto';
import type { Platform } from '#content/descriptor.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { formatPlatform } from '#image/platform.ts';
import { type ByteString, textOf } from '#pkg/archive/entry.ts';
import { kernelName } from '#pkg/archive/directories.ts';
import { readNames } from '#pkg/archive/remove-tree.ts';
import { familiarString } from '#reference/reference.ts';
import { isErrno } from '#sys/errno.ts';
import { close, fstat, openat, ownedFd, readAll } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';
import type { FinishedRun, Finishing } from '../finishing.ts';
import { rootOf } from '../session.ts';
import { apkPackages, dpkgPackages, type FoundPackage, npmPackage } from './packages.ts';
import { rpmPackages } from './rpm.ts';

const DATABASE_BYTES_MAX = 64 << 20;
const RPM_BYTES_MAX = 512 << 20;
const FILE_BYTES_MAX = 1 << 20;
const DIRECTORIES_MAX = 200_000;
const PACKAGES_MAX = 100_000;
const YIELD_EVERY = 200;
const RPM_DIRECTORIES = ['/usr/lib/sysimage/rpm', '/var/lib/rpm'];
const RPM_DATABASE = 'rpmdb.sqlite';
/** Berkeley DB, and SUSE's own form. */
const RPM_OTHERS = ['Packages', 'Packages.db'];
/** Where no program keeps its packages, and where there are endless files. */
const NOT_ENTERED: ReadonlySet<string> = new Set(['proc', 'sys', 'dev']);

export async function sbomOf(means: Finishing, { run, state }: FinishedRun, platform: Platform): Promise<unknown> {
  const { session } = means;
  await session.chains.need(state.on);
  const packages = await packagesIn(rootOf(run.session, state.on));
  return documentOf(means, packages, platform);
}

/** Errors: invalid-parameter naming a database that is not read. */
export async function packagesIn(root: number): Promise<FoundPackage[]> {
  const found: FoundPackage[] = [];
  const status = fileIn(root, '/var/lib/dpkg/status', DATABASE_BYTES_MAX);
  if (status !== undefined) found.push(...dpkgPackages(status, '/var/lib/dpkg/status'));
  for (const name of namesIn(root, '/var/lib/dpkg/status.d')) {
    if (name.endsWith('.md5sums')) continue;
    const path = `/var/lib/dpkg/status.d/${name}`;
    const text = fileIn(root, path, FILE_BYTES_MAX);
    if (text !== undefined) found.push(...dpkgPackages(text, path));
  }
  for (const path of ['/lib/apk/db/installed', '/usr/lib/apk/db/installed']) {
    const installed = fileIn(root, path, DATABASE_BYTES_MAX);
    if (installed === undefined) continue;
    found.push(...apkPackages(installed, path));
    // The second is often a link to the first.
    break;
  }
  found.push(...rpmIn(root));
  await npmIn(root, found);
  if (found.length > PACKAGES_MAX) throw invalidParameter(`an SBOM of more than ${PACKAGES_MAX} packages is not made`);
  return found;
}

/** Errors: invalid-parameter naming a database that is not read. */
function rpmIn(root: number): FoundPackage[] {
  for (const directory of RPM_DIRECTORIES) {
    const path = `${directory}/${RPM_DATABASE}`;
    const database = bytesIn(root, path, RPM_BYTES_MAX);
    const other = RPM_OTHERS.map((name) => `${directory}/${name}`).find((name) => isIn(root, name));
    if (database === undefined && other === undefined) continue;
    const journal = bytesIn(root, `${path}-wal`, RPM_BYTES_MAX);
    const isRead = database !== undefined && (journal === undefined || journal.length === 0);
    try {
      // The second directory is often a link to the first.
      if (isRead) return rpmPackages(database, path);
    } catch (error) {
      throw invalidParameter(`an SBOM of this image cannot be made: ${path}: ${messageOf(error)}`, { cause: error });
    }
    const why = database === undefined ? `packages of rpm (${other})` : `changes in ${path}-wal`;
    throw invalidParameter(`an SBOM of this image cannot be made: ${why} are not read. Build with --sbom=false`);
  }
  return [];
}

function isIn(root: number, path: string): boolean {
  const fd = tryOpenInRoot(root, path, O.PATH);
  if (fd !== undefined) close(fd);
  return fd !== undefined;
}

function fileIn(root: number, path: string, bytesMax: number): string | undefined {
  return bytesIn(root, path, bytesMax)?.toString();
}

function bytesIn(root: number, path: string, bytesMax: number): Buffer | undefined {
  const fd = tryOpenInRoot(root, path, O.RDONLY | O.NONBLOCK);
  if (fd === undefined) return undefined;
  using file = ownedFd(fd);
  const { mode, size } = fstat(file.fd);
  if ((mode & S_IF.MT) !== S_IF.REG) return undefined;
  if (size > bytesMax) throw invalidParameter(`an SBOM of this image cannot be made: ${path} is too large`);
  return Buffer.from(readAll(file.fd, bytesMax));
}

function namesIn(root: number, path: string): string[] {
  const fd = tryOpenInRoot(root, path, O.RDONLY | O.DIRECTORY);
  if (fd === undefined) return [];
  using directory = ownedFd(fd);
  return readNames(directory.fd)
    .map(({ name }) => textOf(name))
    .sort();
}

interface Walked {
  readonly fd: number;
  readonly path: string;
}

/** Every package below a node_modules, wherever it lies. By descriptors: links are not followed. */
async function npmIn(root: number, found: FoundPackage[]): Promise<void> {
  let count = 0;
  const walk = async ({ fd, path }: Walked, isModules: boolean): Promise<void> => {
    count += 1;
    if (count > DIRECTORIES_MAX) throw invalidParameter('an SBOM of so many directories is not made');
    if (count % YIELD_EVERY === 0) await new Promise((resolve) => setImmediate(resolve));
    const names = readNames(fd).map(({ name }) => name);
    names.sort((a, b) => (a < b ? -1 : 1));
    for (const name of names) {
      const shown = textOf(name);
      if (path === '' && NOT_ENTERED.has(shown)) continue;
      const below = directoryAt(fd, name);
      if (below === undefined) continue;
      using directory = ownedFd(below);
      const at = `${path}/${shown}`;
      // `node_modules/@scope/name` is one, too.
      const isPackage = isModules && !shown.startsWith('.') && !shown.startsWith('@');
      if (isPackage) {
        const text = fileIn(directory.fd, '/package.json', FILE_BYTES_MAX);
        const one = text === undefined ? undefined : npmPackage(text, `${at}/package.json`);
        if (one !== undefined) found.push(one);
      }
      await walk({ fd: directory.fd, path: at }, shown === 'node_modules' || (isModules && shown.startsWith('@')));
    }
  };
  using top = ownedFd(openat(root, '.', O.RDONLY | O.DIRECTORY));
  await walk({ fd: top.fd, path: '' }, false);
}

function directoryAt(parent: number, name: ByteString): number | undefined {
  try {
    return openat(parent, kernelName(name), O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  } catch (error) {
    if (isErrno(error, 'ENOTDIR', 'ELOOP', 'ENOENT', 'ENXIO', 'EACCES')) return undefined;
    throw error;
  }
}

const purlKinds: Readonly<Record<FoundPackage['kind'], string>> = { deb: 'deb', apk: 'apk', npm: 'npm', rpm: 'rpm' };

function purlOf({ kind, name, version, architecture, epoch }: FoundPackage): string {
  const encoded = name
    .split('/')
    .map((part) => encodeURIComponent(part))
    .join('/');
  const qualifiers = Object.entries({ arch: architecture, epoch }).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${encodeURIComponent(value)}`],
  );
  const query = qualifiers.length === 0 ? '' : `?${qualifiers.join('&')}`;
  return `pkg:${purlKinds[kind]}/${encoded}@${encodeURIComponent(version)}${query}`;
}

function documentOf({ session }: Finishing, packages: readonly FoundPackage[], platform: Platform): unknown {
  const { request } = session;
  const [reference] = request.references;
  const name = reference === undefined ? 'image' : familiarString(reference);
  const ids = new Map<FoundPackage, string>();
  for (const one of packages) {
    const digest = createHash('sha256')
      .update(`${purlOf(one)} ${one.path}`)
      .digest('hex')
      .slice(0, 16);
    ids.set(one, `SPDXRef-Package-${one.kind}-${one.name.replace(/[^A-Za-z0-9.-]/g, '-').slice(0, 100)}-${digest}`);
  }
  const { sourceDateEpoch } = request;
  const created = sourceDateEpoch === undefined ? session.now() : new Date(sourceDateEpoch * 1000);
  const identity = createHash('sha256')
    .update(JSON.stringify([name, platform, packages]))
    .digest('hex');
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name,
    documentNamespace: `https://berth.invalid/spdx/${formatPlatform(platform)}/${identity}`,
    creationInfo: { creators: ['Tool: berth'], created: created.toISOString().replace(/\.\d+Z$/, 'Z') },
    packages: packages.map((one) => ({
      name: one.name,
      SPDXID: ids.get(one),
      versionInfo: one.version,
      downloadLocation: 'NOASSERTION',
      filesAnalyzed: false,
      sourceInfo: `${one.path}${one.source === undefined ? '' : ` (source package ${one.source})`}`,
      licenseConcluded: 'NOASSERTION',
      licenseDeclared: 'NOASSERTION',
      ...(one.license === undefined ? {} : { licenseComments: one.license }),
      copyrightText: 'NOASSERTION',
      supplier: one.supplier === undefined ? 'NOASSERTION' : `Organization: ${one.supplier}`,
      externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purlOf(one) }],
    })),
    relationships: packages.map((one) => ({
      spdxElementId: 'SPDXRef-DOCUMENT',
      relatedSpdxElement: ids.get(one),
      relationshipType: 'DESCRIBES',
    })),
  };
}
