/** Prints one line a check, as the programs of the other languages do. */
export async function check(name, work) {
  try {
    const outcome = await work();
    console.log(outcome === true ? `ok ${name}` : `FAILED ${name}: ${JSON.stringify(outcome)}`);
  } catch (error) {
    console.log(`FAILED ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
