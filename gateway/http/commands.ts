/**
 * Commands by HTTPS: a request that waits for some, and the replies. What an answer holds stays in the queue until the device
 * says that it has it, by `ack` with its next request or by a reply: an answer that was lost on the way costs nothing.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, timestamp } from '#common/clock.ts';
import { type CommandOffer, isCommandId, replyStatusOf } from '#common/contract/command.ts';
import { payloadFields } from '#common/contract/command-payload.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import { parseDuration } from '#common/quantity.ts';
import type { CommandDesk } from '../commands/desk.ts';
import type { Replies } from '../commands/replies.ts';
import type { Taker } from '../commands/taker.ts';
import type { HttpsSettings } from '../settings.ts';
import type { Audience } from '../telemetry/audience.ts';
import { readBody } from './body.ts';
import type { HttpSession } from './session.ts';

export interface HttpCommandsParts {
  commands: CommandDesk;
  replies: Replies;
  audience: Audience;
  settings: HttpsSettings;
  clock: Clock;
}

/** A request that does not want to wait is answered by then, whether the registry has answered or not. */
const leastWaitMs = 5_000;
const busyRetryMs = 2_000;
const longestContentType = 255;

export class HttpCommands {
  readonly #parts: HttpCommandsParts;
  readonly #polls = new Map<DeviceId, number>();
  #count = 0;

  constructor(parts: HttpCommandsParts) {
    this.#parts = parts;
  }

  /**
   * `?wait=30s&ack=<id>&ack=<id>`: the commands that wait, or the first that comes; none when the time is over. Faults
   * `malformed`, `rate-limited` when the device waits already, `unavailable` when too many do.
   */
  async poll({ entry }: HttpSession, query: URLSearchParams, response: ServerResponse): Promise<object> {
    const { settings, commands } = this.#parts;
    const { device } = entry;
    const waitMs = waitIn(query, settings.maxPollWait);
    const acked = acksIn(query, settings.maxPollCommands);
    this.#begin(device);
    try {
      for (const id of acked) commands.delivered(device, id);
      const got = await this.#wait(device, waitMs, response);
      return { commands: got.map(documentOf) };
    } finally {
      this.#end(device);
    }
  }

  /** `?status=200`, the body as it is. Resolves when it is recorded. Faults as the registry does; `malformed`, `too-large`. */
  async reply(
    { entry }: HttpSession,
    id: string,
    query: URLSearchParams,
    request: IncomingMessage,
  ): Promise<object> {
    const { replies, settings, audience } = this.#parts;
    const status = replyStatusOf(query.get('status') ?? '200');
    if (status === null) throw new Fault('malformed', 'status is as of HTTP, 100 to 599.');
    const { device } = entry;
    const payload = await readBody(request, settings.maxBodySize);
    const contentType = (request.headers['content-type'] ?? '').slice(0, longestContentType);
    await replies.send({ id, device, status, contentType, payload: payload.toString('base64') });
    const topic = `devices/${device}/commands/${id}/reply/${status}`;
    if (audience.wants(topic)) audience.deliver(topic, payload, 1, contentType);
    return { commandId: id, state: 'replied' };
  }

  #wait(device: DeviceId, waitMs: number, response: ServerResponse): Promise<CommandOffer[]> {
    const { commands, clock, settings } = this.#parts;
    const got: CommandOffer[] = [];
    let isOver = false;
    return new Promise((resolve) => {
      const finish = () => {
        if (isOver) return;
        isOver = true;
        cancel();
        response.off('close', finish);
        place.leave();
        resolve(got);
      };
      const taker: Taker = {
        get room() {
          return isOver ? 0 : settings.maxPollCommands - got.length;
        },
        give(command) {
          got.push(command);
          // What comes in the same turn goes in the same answer.
          if (got.length === 1) setImmediate(finish);
        },
        nothing() {
          if (waitMs === 0) finish();
        },
      };
      const cancel = clock.after(Math.max(waitMs, waitMs === 0 ? leastWaitMs : 0), finish);
      response.once('close', finish);
      const place = commands.join(device, taker);
    });
  }

  #begin(device: DeviceId): void {
    const { maxPolls, maxPollsPerDevice } = this.#parts.settings;
    const mine = this.#polls.get(device) ?? 0;
    if (mine >= maxPollsPerDevice)
      throw new Fault(
        'rate-limited',
        `At most ${maxPollsPerDevice} requests of a device wait for commands.`,
        {
          retryAfterMs: busyRetryMs,
        },
      );
    if (this.#count >= maxPolls)
      throw new Fault('unavailable', 'As many requests as may wait for commands; try again.', {
        retryAfterMs: busyRetryMs,
      });
    this.#polls.set(device, mine + 1);
    this.#count += 1;
  }

  #end(device: DeviceId): void {
    const left = (this.#polls.get(device) ?? 1) - 1;
    if (left > 0) this.#polls.set(device, left);
    else this.#polls.delete(device);
    this.#count -= 1;
  }
}

function waitIn(query: URLSearchParams, mostMs: number): number {
  const asked = query.get('wait');
  if (asked === null) return 0;
  // A bare number is one of seconds, as of `Prefer: wait` (RFC 7240, section 4.3).
  const waitMs = /^\d{1,6}$/.test(asked) ? Number(asked) * 1000 : parseDuration(asked);
  return Math.min(waitMs, mostMs);
}

function acksIn(query: URLSearchParams, most: number): string[] {
  const ids = query.getAll('ack').flatMap((each) => each.split(','));
  if (ids.length > most || !ids.every(isCommandId))
    throw new Fault('malformed', `ack names at most ${most} commands by their ids.`);
  return ids;
}

const documentOf = ({ id, name, payload, contentType, createdMs, expiresMs }: CommandOffer) => ({
  id,
  name,
  contentType,
  ...payloadFields(Buffer.from(payload, 'base64'), contentType),
  createdAt: timestamp(createdMs),
  expiresAt: timestamp(expiresMs),
});
