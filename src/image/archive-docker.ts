/** The format docker-archive: manifest.json, as Docker has written it since 1.10. */
import { digestOf } from '#content/content-store.ts';
import { dataLoss } from '#errdefs/errors.ts';
import { parseReference, withDefaultTag } from '#reference/reference.ts';
import { type ArchivedName, IMAGES_MAX, missing } from './archived.ts';
import { CONFIG_BYTES_MAX, decodeImageConfig, isObject, parseJson } from './config.ts';
import type { Spool } from './spool.ts';

/** Errors: data-loss naming what is wrong. */
export function readDockerArchive(spool: Spool, bytes: Buffer): ArchivedName[] {
  const manifest = parseJson(bytes, 'manifest.json');
  if (!Array.isArray(manifest) || manifest.length > IMAGES_MAX) throw dataLoss('invalid manifest.json: not a list');
  return manifest.map((entry: unknown) => {
    if (!isObject(entry)) throw dataLoss('invalid manifest.json: an entry is no object');
    const { Config: configName, Layers: layerNames, RepoTags: tags } = entry;
    if (typeof configName !== 'string') throw dataLoss('invalid manifest.json: an entry has no Config');
    const configBytes = spool.read(configName, CONFIG_BYTES_MAX);
    if (configBytes === undefined) throw missing(configName);
    checkNamedDigest(configName, digestOf(configBytes));
    const config = decodeImageConfig(configBytes);
    const names = stringList(layerNames, 'Layers');
    if (names.length !== config.rootfs.diff_ids.length) {
      throw dataLoss(
        `invalid manifest, layers length mismatch: expected ${config.rootfs.diff_ids.length}, got ${names.length}`,
      );
    }
    const layers = names.map((name) => {
      const file = spool.file(name);
      if (file === undefined) throw missing(name);
      return { file, digest: namedDigest(name) };
    });
    const references = stringList(tags, 'RepoTags').map((tag) => withDefaultTag(parseReference(tag)));
    const image = { configBytes, config, layers, manifest: undefined };
    return { references, target: undefined, images: [image], documents: new Map(), extras: [] };
  });
}

/** `<hex>.json` and `blobs/sha256/<hex>` promise a digest. */
function namedDigest(name: string): string | undefined {
  const match = /^(?:\.\/)?blobs\/sha256\/([0-9a-f]{64})$/.exec(name);
  return match === null ? undefined : `sha256:${match[1] ?? ''}`;
}

function checkNamedDigest(name: string, digest: string): void {
  const promised = namedDigest(name) ?? /^sha256:[0-9a-f]{64}$/.exec(`sha256:${name.replace(/\.json$/, '')}`)?.[0];
  if (promised !== undefined && promised !== digest) {
    throw dataLoss(`invalid image archive: the content of "${name}" is not what its name says`);
  }
}

function stringList(value: unknown, field: string): string[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw dataLoss(`invalid manifest.json: ${field} is no list`);
  return value.map((entry: unknown) => {
    if (typeof entry !== 'string') throw dataLoss(`invalid manifest.json: ${field} is no list of strings`);
    return entry;
  });
}
