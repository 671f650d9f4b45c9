/** Rules of the host where they are not ours to write (`iptables: false`): nothing is written, nothing is guarded. */
import { Firewall, type Rules, tableNameOf } from '#libcontainer/firewall/firewall.ts';
import type { FirewallEgress } from '#libcontainer/firewall/egress-text.ts';
import type { ForeignChains } from '#libcontainer/firewall/foreign.ts';
import { NftablesSession } from '#libcontainer/firewall/session.ts';
import { unavailable } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';

export class NoFirewall implements Rules {
  readonly table: string;
  readonly judges = false;
  readonly wantsJudging = false;
  readonly logGroup = 0;
  readonly translates = false;
  readonly judgesSix = false;

  constructor(suffix: string | undefined) {
    this.table = tableNameOf(suffix);
    removeOld(suffix);
  }

  setBridge(): void {}
  forgetBridge(): void {}
  setPorts(): void {}
  setPublished(): void {}
  apply(): void {}
  applyBridges(): void {}
  addPort(): void {}
  removePort(): void {}
  publish(): void {}
  unpublish(): void {}
  republish(): void {}
  /** What comes by the proxy has passed the host's input chains. */
  setBounce(): void {}
  setEgress(policies: readonly FirewallEgress[]): void {
    for (const { id } of policies) {
      log.error('an egress policy is not in force: the daemon writes no rules of the firewall', { policy: id });
    }
  }
  /** Errors: unavailable. A policy that nobody enforces must not be believed in. */
  putEgress(): void {
    throw unavailable('an egress policy needs rules of the firewall, which "iptables": false forbids');
  }
  removeEgress(): void {}
  sweepEgress(): void {}
  forgetKnown(): void {}
  setLinked(): void {}
  putLinked(): void {}
  setClosed(): void {}
  closePort(): void {}
  openPort(): void {}
  ruleset(): unknown {
    using session = new NftablesSession();
    return session.json('list ruleset');
  }
  openForeign(): ForeignChains {
    return { accepted: false, dropping: [], firewalld: false };
  }
  closeForeign(): boolean {
    return false;
  }
  isOwnLink(): boolean {
    return false;
  }
  [Symbol.dispose](): void {}
}

/** Of a daemon on this data root that had them. */
function removeOld(suffix: string | undefined): void {
  try {
    using firewall = new Firewall(suffix === undefined ? {} : { suffix });
    firewall.remove();
  } catch (err) {
    log.info('tables of an earlier daemon cannot be looked for', { err });
  }
}
