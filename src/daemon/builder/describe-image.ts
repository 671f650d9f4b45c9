/**
 * A base image without its layers: manifest and configuration of its registry, as the policies allow. With caches from
 * elsewhere that is all that a build needs of an image whose stage nobody has to run.
 */
import type { DescribedImage, ImageQuery } from '#builder/backend.ts';
import { digestOf } from '#content/content-store.ts';
import { choosePlatform, resolveTop } from '#distribution/resolve.ts';
import { dataLoss, kindOf, messageOf } from '#errdefs/errors.ts';
import { CONFIG_BYTES_MAX, decodeImageConfig } from '#image/config.ts';
import { hostPlatform, parsePlatform } from '#image/platform.ts';
import { chainIdOf } from '#layer/chain-id.ts';
import { log } from '#pkg/log/log.ts';
import { familiarName, parseReference, withDefaultTag } from '#reference/reference.ts';
import { readBlob } from '#registry/blobs.ts';
import { decodeCredentials } from '#registry/credentials.ts';
import { type Attempt, attemptsFor } from '../image/where.ts';
import type { Services } from '../services.ts';

/** Undefined where it cannot be told this way: then it is pulled, which says why. */
export async function describeImage(services: Services, query: ImageQuery): Promise<DescribedImage | undefined> {
  try {
    const [attempt] = attemptsFor(services.registriesConf(), query.reference, withDefaultTag);
    return attempt === undefined ? undefined : await describe(services, query, attempt);
  } catch (error) {
    if (query.signal.aborted || kindOf(error) === 'cancelled') throw error;
    log.debug('a base image could not be described', { image: query.reference, err: messageOf(error) });
    return undefined;
  }
}

async function describe(
  services: Services,
  { reference: name, platform, logins, signal }: ImageQuery,
  { reference, location }: Attempt,
): Promise<DescribedImage> {
  services.trust.admit(reference);
  const distribution = await services.distribution();
  const { domain } = parseReference(name);
  const auth = location.domain === domain ? await logins.login(domain, signal) : '';
  const repository = await distribution.repository(location, decodeCredentials(auth), signal);
  const { content } = services.images;
  using lease = content.lease({ purpose: `look at ${name}` });
  const top = await resolveTop(repository, reference, content);
  const wanted = platform === '' ? hostPlatform() : parsePlatform(platform);
  const chosen = await choosePlatform(repository, reference, top, { content, lease, platform: wanted });
  await distribution.means.admit({ reference, digests: [top.descriptor.digest, chosen.descriptor.digest], repository });
  const { digest, size } = chosen.document.config;
  if (size > CONFIG_BYTES_MAX) throw dataLoss(`the configuration of ${name} has ${size} bytes`);
  const bytes = await readBlob(repository, { digest, size }, chosen.session);
  if (digestOf(bytes) !== digest) throw dataLoss(`image config verification failed for digest ${digest}`);
  const config = decodeImageConfig(bytes);
  return {
    id: digest,
    config,
    chainId: chainIdOf(config.rootfs.diff_ids),
    digests: [`${familiarName(reference)}@${top.descriptor.digest}`],
  };
}
