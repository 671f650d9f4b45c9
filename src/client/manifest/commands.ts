/** `manifest create`, `annotate`, `inspect`, `push` and `rm`: lists of images for several platforms. */
import { createHash } from 'node:crypto';
import { kindOf } from '#errdefs/errors.ts';
import { fetchManifest } from '#registry/manifests.ts';
import { discard } from '#registry/body.ts';
import type { Repository, Session } from '#registry/registry-client.ts';
import { mountBlob, putManifest } from '#registry/uploads.ts';
import { hasBlob } from '#registry/blobs.ts';
import { canonicalString, parseReference } from '#reference/reference.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import { configDirectory, isJson, textOf } from '../config-file/config-file.ts';
import { flag, list, text } from '../flags/flag-spec.ts';
import { blobsOf, entryOf, fetchNamed, isIndex, normalized, repositoryOf, tagOrDigestOf } from './registry.ts';
import { isKnownPlatform } from './known-platforms.ts';
import { type Entry, ManifestStore } from './store.ts';

const LIST_TYPE = 'application/vnd.docker.distribution.manifest.list.v2+json';
const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';
const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** Docker's, for lists alone. */
const LIST_INDENT = 3;

const insecureFlag = () => flag('Allow communication with an insecure registry');

function storeOf(context: CommandContext): ManifestStore {
  return new ManifestStore(configDirectory(context.environment, context.globals.config));
}

function mustHave(store: ManifestStore, name: string): Entry[] {
  const entries = store.read(canonicalString(normalized(name)));
  if (entries === undefined) throw new ExitError(1, `No such manifest: ${canonicalString(normalized(name))}`);
  return entries;
}

export const create = defineCommand({
  operands: 'MANIFEST_LIST MANIFEST [MANIFEST...]',
  count: [2, Infinity],
  flags: { amend: flag('Amend an existing manifest list', { shorthand: 'a' }), insecure: insecureFlag() },
  examples: ['berth manifest create example.org/app:1 example.org/app:1-amd64 example.org/app:1-arm64'],
  async run(context, { values, positionals: [name = '', ...images] }) {
    const store = storeOf(context);
    const key = canonicalString(normalized(name));
    const before = store.read(key);
    if (before !== undefined && !values.amend) {
      throw new ExitError(1, 'refusing to amend an existing manifest list with no --amend flag');
    }
    const entries = new Map((before ?? []).map((entry) => [entry.reference, entry]));
    for (const image of images) {
      const entry = await entryOf(context, image, values.insecure);
      entries.set(entry.reference, entry);
    }
    store.write(key, [...entries.values()]);
    context.io.out(`Created manifest list ${key}\n`);
  },
});

export const annotate = defineCommand({
  operands: 'MANIFEST_LIST MANIFEST',
  count: [2, 2],
  flags: {
    arch: text('Set architecture'),
    os: text('Set operating system'),
    'os-features': list('Set operating system feature', { typeName: 'strings' }),
    'os-version': text('Set operating system version'),
    variant: text('Set architecture variant'),
  },
  async run(context, { values, positionals: [name = '', image = ''] }) {
    const store = storeOf(context);
    const entries = mustHave(store, name);
    const wanted = canonicalString(normalized(image));
    const found = entries.find((entry) => entry.reference === wanted);
    if (found === undefined) throw new ExitError(1, `manifest for image ${image} does not exist in ${name}`);
    const platform = {
      ...found.platform,
      ...(values.arch === '' ? {} : { architecture: values.arch }),
      ...(values.os === '' ? {} : { os: values.os }),
      ...(values['os-version'] === '' ? {} : { 'os.version': values['os-version'] }),
      ...(values['os-features'].length === 0
        ? {}
        : { 'os.features': values['os-features'].flatMap((one) => one.split(',')) }),
      ...(values.variant === '' ? {} : { variant: values.variant }),
    };
    if (!isKnownPlatform(platform)) {
      throw new ExitError(
        1,
        `manifest entry for image has unsupported os/arch combination: ${platform.os}/${platform.architecture}`,
      );
    }
    store.write(
      canonicalString(normalized(name)),
      entries.map((entry) => (entry === found ? { ...entry, platform } : entry)),
    );
  },
});

/** Of the list that is pushed. */
function encodeList(entries: readonly Entry[]): {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: string;
} {
  const mediaType = entries.every((entry) => entry.mediaType === OCI_MANIFEST) ? INDEX_TYPE : LIST_TYPE;
  const manifests = entries.map(({ mediaType: type, size, digest, platform }) => ({
    mediaType: type,
    size,
    digest,
    platform,
  }));
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }, undefined, LIST_INDENT));
  return { bytes, mediaType, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` };
}

export const inspect = defineCommand({
  operands: '[MANIFEST_LIST] MANIFEST',
  count: [1, 2],
  flags: {
    insecure: insecureFlag(),
    verbose: flag('Output additional info including layers and platform', { shorthand: 'v' }),
  },
  async run(context, { values, positionals }) {
    const [first = '', second] = positionals;
    const print = (value: unknown) => context.io.out(`${JSON.stringify(value, undefined, '\t')}\n`);
    const stored = storeOf(context).read(canonicalString(normalized(first)));
    if (second !== undefined) {
      const wanted = canonicalString(normalized(second));
      const entry = mustHave(storeOf(context), first).find((one) => one.reference === wanted);
      if (entry === undefined) throw new ExitError(1, `No such manifest: ${wanted}`);
      print(values.verbose ? described(entry) : decoded(entry.raw));
      return;
    }
    if (stored !== undefined) {
      if (values.verbose) print(stored.map(described));
      else context.io.out(`${encodeList(stored).bytes.toString()}\n`);
      return;
    }
    const { manifest } = await fetchNamed(context, first, values.insecure).catch((error: unknown) => {
      throw kindOf(error) === 'not-found' ? new ExitError(1, `no such manifest: ${first}`) : error;
    });
    if (!values.verbose) {
      const indent = isIndex(manifest.mediaType) ? LIST_INDENT : '\t';
      context.io.out(`${JSON.stringify(JSON.parse(manifest.bytes.toString('utf8')), undefined, indent)}\n`);
    } else if (isIndex(manifest.mediaType)) {
      const { domain, path } = normalized(first);
      const index: unknown = JSON.parse(manifest.bytes.toString('utf8'));
      const members: readonly unknown[] = isJson(index) && Array.isArray(index['manifests']) ? index['manifests'] : [];
      const entries: unknown[] = [];
      for (const member of members.filter(isJson)) {
        const digest = textOf(member, 'digest');
        entries.push(described(await entryOf(context, `${domain}/${path}@${digest}`, values.insecure)));
      }
      print(entries);
    } else print(described(await entryOf(context, first, values.insecure)));
  },
});

function decoded(raw: string): unknown {
  return JSON.parse(Buffer.from(raw, 'base64').toString('utf8'));
}

/** As docker's --verbose. */
function described({ reference, mediaType, digest, size, platform, raw }: Entry): unknown {
  const manifest = decoded(raw);
  return {
    Ref: reference,
    Descriptor: { mediaType, digest, size, platform },
    Raw: raw,
    ...(mediaType === OCI_MANIFEST ? { OCIManifest: manifest } : { SchemaV2Manifest: manifest }),
  };
}

/** Which of the registry's addresses (with TLS, without) speaks. */
async function answering(repository: Repository): Promise<Session> {
  const url = repository.at('/manifests/latest');
  const { response, session } = await repository.ask({
    method: 'HEAD',
    url,
    capability: 'push',
    accept: [200, 404],
    again: true,
  });
  await discard(response.body);
  return session;
}

export const push = defineCommand({
  operands: 'MANIFEST_LIST',
  count: [1, 1],
  flags: {
    insecure: insecureFlag(),
    purge: flag('Remove the local manifest list after push', { shorthand: 'p' }),
  },
  async run(context, { values, positionals: [name = ''] }) {
    const store = storeOf(context);
    const entries = mustHave(store, name);
    const target = normalized(name);
    const repository = await repositoryOf(context, target, values.insecure);
    const session = await answering(repository);
    for (const entry of entries) {
      const source = parseReference(entry.reference);
      if (source.domain !== target.domain) {
        throw new ExitError(
          1,
          `${entry.reference} is at another registry than ${canonicalString(target)}: copy it first (berth image copy)`,
        );
      }
      if (source.path !== target.path) {
        for (const digest of blobsOf(entry.raw)) {
          if (await hasBlob(repository, digest, session)) continue;
          const { mounted } = await mountBlob(repository, session, digest, source.path);
          if (!mounted)
            throw new ExitError(
              1,
              `the registry does not give ${digest} of ${source.path} to ${target.path}: copy the image first (berth image copy)`,
            );
        }
        const bytes = Buffer.from(entry.raw, 'base64');
        await putManifest(
          repository,
          session,
          { bytes, mediaType: entry.mediaType, digest: entry.digest },
          entry.digest,
        );
        context.io.out(`Pushed ref ${target.domain}/${target.path}@${entry.digest} with digest: ${entry.digest}\n`);
      }
    }
    const whole = encodeList(entries);
    await putManifest(repository, session, whole, tagOrDigestOf(target));
    await fetchManifest(repository, whole.digest);
    context.io.out(`${whole.digest}\n`);
    if (values.purge) store.remove(canonicalString(target));
  },
});

export const rm = defineCommand({
  operands: 'MANIFEST_LIST [MANIFEST_LIST...]',
  count: [1, Infinity],
  flags: {},
  async run(context, { positionals }) {
    const store = storeOf(context);
    const failures = positionals.flatMap((name) => {
      const key = canonicalString(normalized(name));
      return store.remove(key) ? [] : [`No such manifest: ${key}`];
    });
    if (failures.length > 0) throw new ExitError(1, failures.join('\n'));
  },
});
