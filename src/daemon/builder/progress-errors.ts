/** The failure that lines of a pull's or push's progress tell of. */
function errorIn(lines: Uint8Array): string | undefined {
  let failure: string | undefined;
  for (const line of Buffer.from(lines).toString().split('\n')) failure = errorOf(line) ?? failure;
  return failure;
}

function errorOf(line: string): string | undefined {
  if (!line.includes('"error"')) return undefined;
  try {
    const parsed: unknown = JSON.parse(line);
    const found: unknown = typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, 'error') : undefined;
    return typeof found === 'string' ? found : undefined;
  } catch {
    return undefined;
  }
}

/** A progress stream that nobody sees: only what it fails with is kept. */
export function unseenProgress(closed: AbortSignal) {
  let failure: string | undefined;
  return {
    progress: {
      write: async (lines: Uint8Array): Promise<void> => {
        failure = errorIn(lines) ?? failure;
      },
      flush: (): void => undefined,
      closed,
    },
    failure: (): string | undefined => failure,
  };
}
