/** Installs the jobs that speak to registries. What does the work is loaded with the first of them. */
import * as image from '#api/jobs/image.ts';
import type { AuthResponse } from '#api/types/image.ts';
import type { Platform } from '#content/descriptor.ts';
import { parsePlatform } from '#image/platform.ts';
import { progressTo } from '#image/progress.ts';
import {
  familiarName,
  familiarString,
  parseReference,
  type Reference,
  withTag,
  withDigest,
  parseDigest,
} from '#reference/reference.ts';
import { anonymous, credentialsOf, decodeCredentials } from '#registry/credentials.ts';
import { invalidParameter, kindOf, messageOf, systemError } from '#errdefs/errors.ts';
import type { Services } from '../services.ts';
import { publishImageEvent } from './remove.ts';
import { type Attempt, attemptsFor, locationsOf } from './where.ts';

export function installDistributionJobs(services: Services): void {
  const { engine, distribution } = services;
  engine.register(image.imagePull, async (input, { signal }) => {
    const attempts = attemptsFor(services.registriesConf(), input.image, (name) => withTagOrDigest(name, input.tag));
    // Meant for the registry that the client took the name for.
    const { domain } = parseReference(input.image);
    const credentials = decodeCredentials(input.auth);
    const pulled = await told(
      firstOf(attempts, async ({ reference, location }) => {
        services.trust.admit(reference);
        return (await distribution()).pull({
          reference,
          location,
          // As in dockerd: a name alone means all its tags; clients add `latest`.
          allTags: reference.tag === undefined && reference.digest === undefined,
          platform: platformOf(input.platform),
          credentials: location.domain === domain ? credentials : anonymous,
          tell: progressTo(input.progress),
          signal,
        });
      }),
    );
    if (!services.settings.images.keepBlobs) services.images.content.collectSoon();
    for (const { name } of pulled) publishImageEvent(services, 'pull', name, familiarName(parseReference(name)));
  });
  engine.register(image.imagePush, async (input, { signal }) => {
    const reference = input.tag === '' ? parseReference(input.image) : referenceOf(input.image, input.tag);
    // Refuses what is blocked; what is pushed goes where its name says.
    locationsOf(services.registriesConf(), reference);
    await (await distribution()).push({
      reference,
      platform: platformOf(input.platform),
      credentials: decodeCredentials(input.auth),
      tell: progressTo(input.progress),
      signal,
    });
    if (!services.settings.images.keepBlobs) services.images.content.collectSoon();
    publishImageEvent(services, 'push', familiarString(reference), familiarName(reference));
  });
  engine.register(image.imageCopy, async (input, { signal }) => {
    const { copyImage } = await import('#distribution/copy.ts');
    const side = async (name: string, auth: string) => {
      const reference = parseReference(name);
      return {
        reference,
        repository: await (await distribution()).repository(reference, decodeCredentials(auth), signal),
      };
    };
    await copyImage(
      { content: services.images.content },
      {
        from: await side(input.source, input.sourceAuth),
        to: await side(input.destination, input.destinationAuth),
        platform: platformOf(input.platform),
        tell: progressTo(input.progress),
        signal,
      },
    );
  });
  engine.register(image.imageSearch, async ({ term, limit, filters, auth }, { signal }) => {
    const { searchImages } = await import('#distribution/search.ts');
    const { registry } = await distribution();
    return told(searchImages(registry, { term, limit, filters, credentials: decodeCredentials(auth), signal }));
  });
  engine.register(image.distributionInspect, async (input, { signal }) => {
    const { inspectDistribution } = await import('#distribution/inspect.ts');
    const given = parseReference(input.image);
    const credentials = decodeCredentials(input.auth);
    const attempts = attemptsFor(services.registriesConf(), input.image, (name) => name);
    return told(
      firstOf(attempts, async ({ reference, location }) => {
        const own = location.domain === given.domain ? credentials : anonymous;
        return inspectDistribution(await (await distribution()).repository(location, own, signal), reference);
      }),
    );
  });
  engine.register(image.registryLogin, async ({ request }, { signal }): Promise<AuthResponse> => {
    const { logIn } = await import('#distribution/login.ts');
    const { registry } = await distribution();
    const { status, identityToken } = await told(logIn(registry, credentialsOf(request), signal));
    return { Status: status, ...(identityToken === '' ? {} : { IdentityToken: identityToken }) };
  });
}

/** A registry that does not answer is no fault of ours that goes away by asking us again: 500, as in dockerd, not 503. */
async function told<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const kind = kindOf(error);
    if (kind !== 'unavailable' && kind !== 'deadline-exceeded') throw error;
    throw systemError(messageOf(error), { cause: error });
  }
}

/** The next is tried when one has it not or does not answer. Errors: of the last. */
async function firstOf<T>(attempts: readonly Attempt[], work: (attempt: Attempt) => Promise<T>): Promise<T> {
  for (const [i, attempt] of attempts.entries()) {
    try {
      return await work(attempt);
    } catch (error) {
      const passes = ['not-found', 'unauthorized', 'unavailable', 'forbidden', 'deadline-exceeded'].includes(
        kindOf(error),
      );
      if (!passes || i === attempts.length - 1) throw error;
    }
  }
  throw invalidParameter('invalid reference format');
}

/** `tag` may be a digest. Errors: invalid-parameter. */
function referenceOf(image: string, tag: string): Reference {
  return withTagOrDigest(parseReference(image), tag);
}

function withTagOrDigest(reference: Reference, tag: string): Reference {
  if (tag === '') return reference;
  if (tag.includes(':')) return withDigest(reference, parseDigest(tag));
  if (reference.digest !== undefined) throw invalidParameter('invalid reference format');
  return withTag(reference, tag);
}

/** `linux/arm64`, or JSON as push has it since API 1.46. Errors: invalid-parameter. */
function platformOf(text: string): Platform | undefined {
  if (text === '') return undefined;
  if (!text.startsWith('{')) return parsePlatform(text);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw invalidParameter('failed to parse platform: invalid JSON', { cause });
  }
  if (typeof parsed !== 'object' || parsed === null) throw invalidParameter('failed to parse platform: no object');
  const part = (name: 'os' | 'architecture' | 'variant'): string => {
    // as: every object has string keys with unknown values.
    const value = (parsed as Readonly<Record<string, unknown>>)[name];
    return typeof value === 'string' ? value : '';
  };
  const parts = [part('os'), part('architecture'), part('variant')];
  if (parts[0] === '' || parts[1] === '') {
    throw invalidParameter('both OS and Architecture must be provided');
  }
  return parsePlatform(parts.filter((p) => p !== '').join('/'));
}
