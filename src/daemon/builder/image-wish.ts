/** What `--output`, `--attest` and `--annotation` ask of an image, out of texts. Pure. */
import type { Attestations, ImageAnnotation, ImageWish, ProvenanceWish } from '#builder/request.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { formatPlatform, parsePlatform } from '#image/platform.ts';
import { csvFields } from '#pkg/csv/csv.ts';
import { compressionOf, flagOf } from './cache/cache-spec.ts';

export interface WishedImage {
  /** Attributes of the image output: compression, oci-mediatypes … */
  readonly options: Readonly<Record<string, string>>;
  /** `manifest:key=value`, `index[linux/arm64]:key=value`, `key=value`. */
  readonly annotations: readonly string[];
  /** `type=provenance,mode=max`. */
  readonly attests: readonly string[];
  /** Where the context is from; '' is a local directory. */
  readonly source: string;
}

/** Attributes of outputs that are somebody else's, or say nothing of the image. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'name',
  'push',
  'push-by-digest',
  'dest',
  // Compose's: the image is here anyway.
  'load',
  'tar',
  'store',
  'unpack',
  // Compose 2.26 says that the image is for the store, which it is anyway.
  'load',
  'dangling-name-prefix',
  'name-canonical',
  'registry.insecure',
  'attestation-inline',
  'buildinfo',
]);

/** Errors: invalid-parameter; not-implemented naming what is not there. */
export function imageWishOf({ options, annotations, attests, source }: WishedImage): ImageWish {
  const attributes = new Map(Object.entries(options));
  const own: ImageAnnotation[] = [];
  for (const [key, value] of attributes) {
    if (key.startsWith('annotation')) own.push(annotationOfAttribute(key, value));
    else if (key === 'rewrite-timestamp') throw notImplemented('rewrite-timestamp is what SOURCE_DATE_EPOCH does');
    else if (!KNOWN.has(key) && !ELSEWHERE.has(key)) throw invalidParameter(`unknown output option ${key}`);
  }
  return {
    compression: compressionOf(attributes),
    ociTypes: attributes.has('oci-mediatypes') ? flagOf(attributes, 'oci-mediatypes', false) : undefined,
    annotations: [...own, ...annotations.flatMap(annotationsOf)],
    attestations: attestationsOf(attests, source),
  };
}

const KNOWN: ReadonlySet<string> = new Set([
  'compression',
  'compression-level',
  'force-compression',
  'oci-mediatypes',
  'type',
]);

const LEVELS: Readonly<Record<string, ImageAnnotation['level']>> = {
  manifest: 'manifest',
  index: 'index',
  'manifest-descriptor': 'manifest-descriptor',
  'index-descriptor': 'index-descriptor',
};

/** `index,manifest[linux/amd64]:key=value`. */
function annotationsOf(text: string): ImageAnnotation[] {
  const match = /^(?:((?:manifest|index)[^:=]*):)?([^=]+)=(.*)$/s.exec(text);
  if (match === null) throw invalidParameter(`invalid annotation ${JSON.stringify(text)}: expected key=value`);
  const [, levels = 'manifest', key = '', value = ''] = match;
  return levels.split(',').map((level) => ({ ...levelOf(level), key, value }));
}

function levelOf(text: string): Pick<ImageAnnotation, 'level' | 'platform'> {
  const [, name = '', platform] = /^([a-z-]+)(?:\[([^\]]+)\])?$/.exec(text) ?? [];
  const level = LEVELS[name];
  if (level === undefined) throw invalidParameter(`unknown annotation type ${JSON.stringify(text)}`);
  return { level, platform: platform === undefined ? undefined : formatPlatform(parsePlatform(platform)) };
}

/** `annotation.key`, `annotation-index.key`, `annotation-manifest[linux/amd64].key`. */
function annotationOfAttribute(name: string, value: string): ImageAnnotation {
  const match = /^annotation(?:-([a-z-]+(?:\[[^\]]+\])?))?(\[[^\]]+\])?\.(.+)$/.exec(name);
  if (match === null) throw invalidParameter(`invalid annotation ${JSON.stringify(name)}`);
  const [, level = 'manifest', platform = '', key = ''] = match;
  return { ...levelOf(`${level}${platform}`), key, value };
}

function attestationsOf(attests: readonly string[], source: string): Attestations {
  let provenance: ProvenanceWish | undefined;
  let sbom = false;
  for (const text of attests) {
    const fields = new Map(csvFields(text).map((field) => [field.split('=')[0] ?? '', field.replace(/^[^=]*=?/, '')]));
    const type = fields.get('type');
    const isOff = flagOf(fields, 'disabled', false);
    if (type === 'sbom') {
      const generator = fields.get('generator');
      if (generator !== undefined && !isOff) {
        throw notImplemented(`an SBOM generator of its own (${generator}) is not run: use --sbom=true`);
      }
      sbom = !isOff;
    } else if (type === 'provenance') provenance = isOff ? undefined : provenanceOf(fields, source);
    else throw invalidParameter(`unsupported attestation type ${JSON.stringify(type ?? text)}`);
  }
  return { provenance, sbom };
}

function provenanceOf(fields: ReadonlyMap<string, string>, source: string): ProvenanceWish {
  const mode = fields.get('mode') ?? 'min';
  if (mode !== 'min' && mode !== 'max') throw invalidParameter(`invalid provenance mode ${JSON.stringify(mode)}`);
  const version = fields.get('version') ?? 'v0.2';
  if (version !== 'v0.2' && version !== 'v1') throw invalidParameter(`invalid provenance version ${version}`);
  if (fields.has('inline-only')) throw notImplemented('provenance,inline-only is not there');
  const builderId = fields.get('builder-id') ?? '';
  return { mode, version, builderId, reproducible: flagOf(fields, 'reproducible', false), source };
}
