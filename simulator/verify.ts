/** Checks, message by message, that what was acknowledged reached the file backend: lost and doubled ones, by name. */
import { createReadStream, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface VerifyResult {
  readonly acknowledged: number;
  readonly found: number;
  /** Acknowledged and not there: `device/number`. */
  readonly lost: readonly string[];
  /** There more than once, which at-least-once allows. */
  readonly doubled: number;
}

/** Reads every NDJSON file of the folder; events of other runs are left aside. */
export async function verify(
  folder: string,
  run: string,
  acknowledged: ReadonlyMap<string, readonly number[]>,
): Promise<VerifyResult> {
  const found = new Map<string, Map<number, number>>();
  let total = 0;
  for (const name of readdirSync(folder)
    .filter((each) => each.endsWith('.ndjson'))
    .sort()) {
    for await (const line of createInterface({ input: createReadStream(join(folder, name)) })) {
      // A cheap look first: parsing everything that was ever delivered would take long.
      if (!line.includes(run)) continue;
      const message = readMessage(line, run);
      if (!message) continue;
      const ofDevice = found.get(message.device) ?? new Map<number, number>();
      ofDevice.set(message.n, (ofDevice.get(message.n) ?? 0) + 1);
      found.set(message.device, ofDevice);
      total += 1;
    }
  }
  const lost: string[] = [];
  let count = 0;
  for (const [device, numbers] of acknowledged) {
    count += numbers.length;
    const ofDevice = found.get(device);
    for (const n of numbers) if (!ofDevice?.has(n)) lost.push(`${device}/${n}`);
  }
  const doubled = [...found.values()].reduce(
    (sum, each) => sum + [...each.values()].filter((times) => times > 1).length,
    0,
  );
  return { acknowledged: count, found: total, lost, doubled };
}

/** The message of a line, if it is whole and of this run, and if the event's origin is the device it names. */
function readMessage(line: string, run: string): { device: string; n: number } | undefined {
  try {
    const event = JSON.parse(line) as {
      device?: string;
      data?: { run?: string; device?: string; n?: number };
    };
    const { data } = event;
    if (data?.run !== run || data.device !== event.device) return undefined;
    return { device: data.device!, n: data.n! };
  } catch {
    // The line that is being written right now.
    return undefined;
  }
}
