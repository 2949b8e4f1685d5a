/** Telemetry and events by HTTP: one a request, or many as NDJSON; answered when they are durable. */
import type { IncomingMessage } from 'node:http';
import type { EventClass } from '#common/contract/event.ts';
import { Fault } from '#common/fault.ts';
import type { CloneWatch } from '../limits/clone-watch.ts';
import type { Meters } from '../limits/meters.ts';
import type { HttpsSettings, MqttSettings } from '../settings.ts';
import type { Audience } from '../telemetry/audience.ts';
import type { Intake, Waiter } from '../telemetry/intake.ts';
import { readBody } from './body.ts';
import type { HttpSession } from './session.ts';

export interface ReceiveParts {
  intake: Intake;
  audience: Audience;
  meters: Meters;
  clones: CloneWatch;
  settings: HttpsSettings;
  topics: Pick<MqttSettings, 'maxTopicLength' | 'maxTopicLevels'>;
}

interface Item {
  readonly class: EventClass;
  readonly channel: string;
  readonly contentType: string;
  readonly payload: Buffer;
}

const lanes = { telemetry: 'telemetry', event: 'events' } as const;

export class Receive {
  readonly #parts: ReceiveParts;

  constructor(parts: ReceiveParts) {
    this.#parts = parts;
  }

  /** One event: the body as it is. Resolves when it is durable. Faults `topic-…`, `too-large`, `spool-full`. */
  async one(
    session: HttpSession,
    request: IncomingMessage,
    eventClass: EventClass,
    channel: string,
  ): Promise<{ accepted: number }> {
    const { clones } = this.#parts;
    this.#judge(session, eventClass, channel);
    const payload = await readBody(request, this.#parts.settings.maxBodySize);
    const contentType = request.headers['content-type'] ?? '';
    if (clones.counts)
      clones.counted(session.entry.device, session.peer, textOf(request.headers[clones.sequenceName]));
    return this.#take(session, [
      { class: eventClass, channel, contentType: contentType.slice(0, 255), payload },
    ]);
  }

  /**
   * NDJSON, one `{"channel"?, "class"?: "telemetry"|"event", "data": any}` a line. All of them or none: faults
   * `malformed` with the lines that are wrong.
   */
  async batch(session: HttpSession, request: IncomingMessage): Promise<{ accepted: number }> {
    const { maxBatchSize, maxBatchEvents } = this.#parts.settings;
    const text = (await readBody(request, maxBatchSize)).toString('utf8');
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    if (lines.length > maxBatchEvents)
      throw new Fault('too-large', `A batch has at most ${maxBatchEvents} events here.`);
    const errors: { line: number; error: string }[] = [];
    const items = lines.flatMap((line, index) => {
      try {
        return [this.#item(session, line)];
      } catch (thrown) {
        errors.push({ line: index + 1, error: Fault.of(thrown).message });
        return [];
      }
    });
    if (errors.length > 0) {
      throw new Fault(
        'malformed',
        `${errors.length} of ${lines.length} lines are wrong; nothing was taken.`,
        {
          fields: { errors: errors.slice(0, 100) },
        },
      );
    }
    return items.length === 0 ? { accepted: 0 } : this.#take(session, items);
  }

  #item(session: HttpSession, line: string): Item {
    let value: { channel?: unknown; class?: unknown; data?: unknown };
    try {
      value = JSON.parse(line);
    } catch {
      throw new Fault('malformed', 'not JSON');
    }
    const { channel = '', class: eventClass = 'telemetry', data } = value ?? {};
    if (typeof channel !== 'string') throw new Fault('malformed', 'channel is a text');
    if (eventClass !== 'telemetry' && eventClass !== 'event')
      throw new Fault('malformed', 'class is telemetry or event');
    if (data === undefined) throw new Fault('malformed', 'data is missing');
    this.#judge(session, eventClass, channel);
    return {
      class: eventClass,
      channel,
      contentType: 'application/json',
      payload: Buffer.from(JSON.stringify(data)),
    };
  }

  /** The channel as it would be on MQTT: the same limits and the same rights. */
  #judge({ rights, entry }: HttpSession, eventClass: EventClass, channel: string): void {
    const topic = topicOf(entry.device, eventClass, channel);
    const { maxTopicLength, maxTopicLevels } = this.#parts.topics;
    if (/[+#\0]/.test(channel) || topic.length > maxTopicLength || topic.split('/').length > maxTopicLevels) {
      throw new Fault('topic-invalid', 'The channel has wildcards, or is too long or too deep.');
    }
    if (!rights.mayPublish(topic, 1, false))
      throw new Fault('topic-not-allowed', `This device may not publish to ${topic}.`);
  }

  #take(session: HttpSession, items: readonly Item[]): Promise<{ accepted: number }> {
    const { intake, audience } = this.#parts;
    if (intake.full) {
      return Promise.reject(
        new Fault('spool-full', 'The gateway holds as much as it can; try again.', { retryAfterMs: 2000 }),
      );
    }
    if (session.meter !== null) {
      const bytes = items.reduce((sum, { payload }) => sum + payload.length, 0);
      const retryAfterMs = this.#parts.meters.take(session.meter, items.length, bytes);
      if (retryAfterMs > 0) return Promise.reject(tooMuch(retryAfterMs));
    }
    return new Promise((resolve, reject) => {
      let left = items.length;
      const waiter: Waiter = {
        durable: () => {
          left -= 1;
        },
        failed: (_ticket, fault) => reject(fault),
        settled: () => {
          if (left === 0) resolve({ accepted: items.length });
        },
      };
      for (const { class: eventClass, channel, contentType, payload } of items) {
        intake.accept(session.origin, eventClass, channel, contentType, payload, waiter, 0);
        const topic = topicOf(session.entry.device, eventClass, channel);
        if (audience.wants(topic)) audience.deliver(topic, payload, 1, contentType);
      }
    });
  }
}

const textOf = (header: string | string[] | undefined): string | undefined =>
  typeof header === 'string' ? header : undefined;

const tooMuch = (retryAfterMs: number) =>
  new Fault(
    'message-rate',
    'This device sends more than its role, fleet or device may; nothing was taken, try again later.',
    { retryAfterMs },
  );

const topicOf = (device: string, eventClass: EventClass, channel: string): string =>
  `devices/${device}/${lanes[eventClass]}${channel === '' ? '' : `/${channel}`}`;
