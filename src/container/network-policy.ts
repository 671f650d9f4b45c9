/**
 * What containers and networks ask of the firewall beyond Docker: labels of a container, options of a network, both of the
 * same names. Pure. A container's own word goes before its network's, that before the daemon's; of egress policies both
 * have to agree.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { type EgressPolicy, parseEgress } from '#libcontainer/firewall/egress-policy.ts';

export const PUBLISH_POLICY = 'berth.publish-policy';
export const SPOOF_PROTECTION = 'berth.spoof-protection';
export const EGRESS = { rest: 'berth.egress', allow: 'berth.egress.allow', deny: 'berth.egress.deny' } as const;

const policies = ['docker', 'host-firewall'] as const;
/** `docker`: published is reachable. `host-firewall`: as far as the host's input chains let packets to that port in. */
export type PublishPolicy = (typeof policies)[number];

type Words = Readonly<Record<string, string>> | null | undefined;

const WORDS: readonly string[] = [PUBLISH_POLICY, SPOOF_PROTECTION, ...Object.values(EGRESS)];

/** Labels without the policies that only the image brings: who wrote it has no say in what its containers may do. */
export function withoutImagePolicies(merged: Words, asked: Words): Record<string, string> {
  return Object.fromEntries(
    Object.entries(merged ?? {}).filter(([key]) => !WORDS.includes(key) || Object.hasOwn(asked ?? {}, key)),
  );
}

/** Errors: invalid-parameter naming the word. `what`: 'label', 'network option'. */
export function checkNetworkPolicy(words: Words, what: string): void {
  const policy = words?.[PUBLISH_POLICY];
  if (policy !== undefined) parsePublishPolicy(policy, `${what} ${PUBLISH_POLICY}`);
  const spoof = words?.[SPOOF_PROTECTION];
  if (spoof !== undefined && spoof !== 'true' && spoof !== 'false') {
    throw invalidParameter(`invalid ${what} ${SPOOF_PROTECTION}=${spoof}: it must be true or false`);
  }
  // Whose packets are whose is told by their sender.
  if (egressOf(words) !== undefined && spoof === 'false') {
    throw invalidParameter(`${what} ${SPOOF_PROTECTION}=false does not go together with an egress policy`);
  }
}

/** `place` for the message. Errors: invalid-parameter. */
export function parsePublishPolicy(text: string, place: string): PublishPolicy {
  const policy = policies.find((one) => one === text);
  if (policy === undefined) throw invalidParameter(`invalid ${place}: "${text}": it must be ${policies.join(' or ')}`);
  return policy;
}

/** The first that says something. */
export function publishPolicyOf(fallback: PublishPolicy, ...words: readonly Words[]): PublishPolicy {
  for (const one of words) {
    const said = policies.find((policy) => policy === one?.[PUBLISH_POLICY]);
    if (said !== undefined) return said;
  }
  return fallback;
}

export function isUnguarded(...words: readonly Words[]): boolean {
  for (const one of words) {
    const said = one?.[SPOOF_PROTECTION];
    if (said !== undefined) return said === 'false';
  }
  return false;
}

/** Undefined without a policy. Errors: invalid-parameter naming the entry. */
export function egressOf(words: Words): EgressPolicy | undefined {
  const { rest, allow, deny } = EGRESS;
  return parseEgress({ rest: words?.[rest] ?? '', allow: words?.[allow] ?? '', deny: words?.[deny] ?? '' });
}
