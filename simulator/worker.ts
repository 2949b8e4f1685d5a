/** The entry of a simulator thread: runs its slice of the fleet and says once a second what it has measured. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '#common/clock.ts';
import { Fleet, type Slice } from './fleet.ts';
import type { Packed } from './measurements.ts';

export type FromWorker =
  | { readonly second: Packed }
  | {
      readonly done: {
        readonly last: Packed;
        readonly busy: number;
        readonly acknowledged: [string, number[]][];
      };
    };

const port = parentPort!;
const tell = (message: FromWorker) => port.postMessage(message);

const fleet = new Fleet(workerData as Slice, systemClock);
port.on('message', () => fleet.stop());
const cancel = systemClock.every(1_000, () => tell({ second: fleet.measurements.take() }));
const busy = await fleet.run();
cancel();
tell({ done: { last: fleet.measurements.take(), busy, acknowledged: fleet.acknowledged() } });
await fleet.close();
port.close();
