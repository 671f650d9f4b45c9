/** Colours that tell containers apart, as compose gives them: bright ones after the plain, no red, which is for errors. */
const CODES = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94] as const;

export function nameColour(index: number): string {
  return `\u001b[${CODES[index % CODES.length] ?? CODES[0]}m`;
}
