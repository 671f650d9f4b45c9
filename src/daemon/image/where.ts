/** From where a name is fetched, as registries.conf says: what a short name may mean, mirrors, other places, blocks. */
import { forbidden } from '#errdefs/errors.ts';
import { familiarString, parseReference, type Reference } from '#reference/reference.ts';
import { candidatesOf, locate, type RegistriesConf, ruleFor } from '#reference/registries-conf.ts';

export interface Attempt {
  /** What the image will be called. */
  readonly reference: Reference;
  /** Where it is asked for. */
  readonly location: Reference;
}

/** In the order in which to try. Errors: forbidden for a blocked name; invalid-parameter. */
export function attemptsFor(conf: RegistriesConf, image: string, complete: (name: Reference) => Reference): Attempt[] {
  // Docker's clients write short names out before they send them: `busybox` comes as `docker.io/library/busybox`.
  const short = familiarString(parseReference(image));
  return candidatesOf(conf, short).flatMap((candidate) => {
    const reference = complete(candidate);
    return locationsOf(conf, reference).map((location) => ({ reference, location }));
  });
}

/** Mirrors, then the place itself. Errors: forbidden. */
export function locationsOf(conf: RegistriesConf, reference: Reference): Reference[] {
  const rule = ruleFor(conf, reference);
  if (rule === undefined) return [reference];
  if (rule.blocked) {
    throw forbidden(`${familiarString(reference)} is refused: registries.conf blocks "${rule.prefix}"`);
  }
  const byDigest = reference.digest !== undefined;
  const mirrors = rule.mirrors.filter(({ use }) => use === 'all' || (use === 'digest-only') === byDigest);
  return [...mirrors.map(({ location }) => locate({ ...rule, location }, reference)), locate(rule, reference)];
}

/** Hosts that may speak without TLS. */
export function insecureHosts(conf: RegistriesConf): string[] {
  const hosts = conf.rules.flatMap(({ prefix, location, insecure, mirrors }) => [
    ...(insecure ? [location ?? prefix] : []),
    ...mirrors.filter((mirror) => mirror.insecure).map((mirror) => mirror.location),
  ]);
  return hosts.map((place) => parseReference(`${place}${place.includes('/') ? '' : '/x'}`).domain);
}
