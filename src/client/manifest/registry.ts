/** What `berth manifest` asks registries for, by itself: as with docker's client, no daemon takes part. */
import { fetchManifest, type FetchedManifest } from '#registry/manifests.ts';
import { type Repository, RegistryClient } from '#registry/registry-client.ts';
import { credentialsOf } from '#registry/credentials.ts';
import { readBlob } from '#registry/blobs.ts';
import { defaultRegistrySettings } from '#registry/settings.ts';
import { canonicalString, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import type { CommandContext } from '../command.ts';
import { isJson, textOf } from '../config-file/config-file.ts';
import { credentialsFor, serverKey } from '../registry/credentials.ts';
import type { Entry, Platform } from './store.ts';

const INDEX_TYPES = new Set([
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.index.v1+json',
]);

export const isIndex = (mediaType: string): boolean => INDEX_TYPES.has(mediaType);

export function normalized(name: string): Reference {
  return withDefaultTag(parseReference(name));
}

export async function repositoryOf(
  context: CommandContext,
  { domain, path }: Reference,
  insecure: boolean,
): Promise<Repository> {
  const { http_proxy = '', https_proxy = '', no_proxy = '' } = context.environment;
  const settings = {
    ...defaultRegistrySettings,
    insecureRegistries: insecure ? [domain] : [],
    proxies: { http: http_proxy, https: https_proxy, none: no_proxy.split(',').filter((one) => one !== '') },
  };
  const credentials = credentialsOf(await credentialsFor(context, serverKey(domain)));
  return await new RegistryClient(() => settings).repository(domain, path, { credentials });
}

export const tagOrDigestOf = ({ digest, tag }: Reference): string => digest ?? tag ?? 'latest';

export async function fetchNamed(context: CommandContext, name: string, insecure: boolean) {
  const reference = normalized(name);
  const repository = await repositoryOf(context, reference, insecure);
  return { reference, repository, manifest: await fetchManifest(repository, tagOrDigestOf(reference)) };
}

/** An image as an entry of a list: its platform is in its configuration. @throws for lists, and for what is no image */
export async function entryOf(context: CommandContext, name: string, insecure: boolean): Promise<Entry> {
  const { reference, repository, manifest } = await fetchNamed(context, name, insecure);
  if (isIndex(manifest.mediaType)) throw new Error(`${canonicalString(reference)} is a manifest list`);
  return {
    reference: canonicalString(reference),
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.bytes.length,
    platform: await platformOf(repository, manifest),
    raw: manifest.bytes.toString('base64'),
  };
}

const CONFIG_BYTES_MAX = 8 << 20;

async function platformOf(repository: Repository, manifest: FetchedManifest): Promise<Platform> {
  const decoded: unknown = JSON.parse(manifest.bytes.toString('utf8'));
  const config = isJson(decoded) && isJson(decoded['config']) ? decoded['config'] : undefined;
  const size = Number(config?.['size']);
  if (config === undefined || !(size <= CONFIG_BYTES_MAX)) throw new Error('the manifest names no image configuration');
  const blob = { digest: textOf(config, 'digest'), size };
  const image: unknown = JSON.parse((await readBlob(repository, blob, manifest.session)).toString('utf8'));
  if (!isJson(image)) throw new Error('the image configuration is not a JSON object');
  const [version, variant] = [textOf(image, 'os.version'), textOf(image, 'variant')];
  return {
    architecture: textOf(image, 'architecture'),
    os: textOf(image, 'os'),
    ...(version === '' ? {} : { 'os.version': version }),
    ...(variant === '' ? {} : { variant }),
  };
}

/** Digests of what a manifest refers to. */
export function blobsOf(raw: string): string[] {
  const decoded: unknown = JSON.parse(Buffer.from(raw, 'base64').toString('utf8'));
  if (!isJson(decoded)) return [];
  const layers: readonly unknown[] = Array.isArray(decoded['layers']) ? decoded['layers'] : [];
  return [decoded['config'], ...layers].filter(isJson).map((one) => textOf(one, 'digest'));
}
