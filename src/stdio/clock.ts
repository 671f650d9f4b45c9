/**
 * Wall-clock time in nanoseconds. The runtime gives it in milliseconds only; the high-resolution clock, which does not
 * follow when somebody sets the time, supplies the rest, and is set right when the two are more than a tick apart.
 */
export function wallClockNs(
  wallMs: () => number = Date.now,
  steadyMs: () => number = () => performance.now(),
): () => bigint {
  let offsetMs = wallMs() - steadyMs();
  return () => {
    const wall = wallMs();
    const now = steadyMs() + offsetMs;
    // Date.now() cuts off what is below a millisecond.
    if (now < wall || now >= wall + 1) offsetMs += now < wall ? wall - now : wall + 0.999 - now;
    const exact = steadyMs() + offsetMs;
    const whole = Math.floor(exact);
    return BigInt(whole) * 1_000_000n + BigInt(Math.floor((exact - whole) * 1_000_000));
  };
}
