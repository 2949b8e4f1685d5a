/** The entry of a token's thread: its calls block, and whatever the token does, nobody waits but those who asked. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { Cryptoki } from './cryptoki.ts';
import type { FromToken, TokenSetup, ToToken } from './messages.ts';
import { Token } from './token.ts';

const port = parentPort!;
const tell = (message: FromToken) => port.postMessage(message);
const refusal = (thrown: unknown) => {
  const fault = Fault.of(thrown);
  return { refused: fault.message, cause: String(fault.cause ?? '') };
};

try {
  const setup = workerData as TokenSetup;
  const token = new Token(await Cryptoki.load(setup.module), setup, systemClock);
  port.on('message', (message: ToToken) => {
    if ('close' in message) {
      token.close();
      port.close();
      return;
    }
    const { id } = message;
    try {
      tell({ id, signature: token.sign(Buffer.from(message.sign.buffer)) });
    } catch (thrown) {
      tell({ id, ...refusal(thrown) });
    }
  });
  tell({ ready: token.open() });
} catch (thrown) {
  tell(refusal(thrown));
  port.close();
}
