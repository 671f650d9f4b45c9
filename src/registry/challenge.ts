/** WWW-Authenticate (RFC 9110): what a registry wants to see. */

export interface Challenge {
  /** In lower case: 'basic', 'bearer' … */
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const LENGTH_MAX = 8 << 10;
const CHALLENGES_MAX = 16;
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const parameter = new RegExp(`\\s*(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))\\s*`, 'y');
const schemeName = new RegExp(`\\s*(${TOKEN})(?=\\s|$|,)\\s*`, 'y');

/** In the order of the header; what cannot be understood ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  if (header.length > LENGTH_MAX) return challenges;
  let at = 0;
  while (at < header.length && challenges.length < CHALLENGES_MAX) {
    schemeName.lastIndex = at;
    const scheme = schemeName.exec(header);
    if (scheme === null) break;
    at = schemeName.lastIndex;
    const parameters = new Map<string, string>();
    for (;;) {
      parameter.lastIndex = at;
      const match = parameter.exec(header);
      if (match === null) break;
      at = parameter.lastIndex;
      parameters.set((match[1] ?? '').toLowerCase(), match[2]?.replace(/\\(.)/g, '$1') ?? match[3] ?? '');
      if (header[at] !== ',') break;
      at += 1;
    }
    challenges.push({ scheme: (scheme[1] ?? '').toLowerCase(), parameters });
    if (header[at] === ',') at += 1;
  }
  return challenges;
}
