/** What is known while a new container stands at its network gate. */
export interface NetworkGate {
  readonly pid: number;
  /** rtnetlink socket that lives in the new network namespace; valid until the gate's function returns. */
  readonly netlink: number;
  /** The namespace itself. */
  readonly namespace: number;
}
