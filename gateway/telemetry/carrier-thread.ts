/** The entry of the carrier thread: waiting for the disk and for backends happens here, never where devices are heard. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { Carrier } from './carrier.ts';
import type { CarrierSetup, FromCarrier, ToCarrier } from './carrier-messages.ts';

const clock = systemClock;
const port = parentPort!;
const tell = (message: FromCarrier) => port.postMessage(message);
const idlePollMs = 20;

async function close(carrier: Carrier, patienceMs: number): Promise<void> {
  const until = clock.elapsed() + patienceMs;
  while (!carrier.idle && clock.elapsed() < until) await clock.sleep(idlePollMs);
  await carrier[Symbol.asyncDispose]();
  tell({ closed: true });
  port.close();
}

try {
  const carrier = await Carrier.open(workerData as CarrierSetup, clock, tell);
  port.on('message', (message: ToCarrier) => {
    if ('batch' in message) carrier.accept(message);
    else if ('ask' in message) tell({ snapshot: message.id, backends: carrier.numbers() });
    else void close(carrier, message.close.patienceMs);
  });
  tell({ ready: true });
} catch (thrown) {
  const fault = Fault.of(thrown);
  tell({ refused: fault.kind === 'internal' ? String(fault.cause) : fault.message });
  port.close();
}
