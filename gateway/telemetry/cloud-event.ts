/** Device events as CloudEvents 1.0 in structured JSON (CloudEvents JSON format 1.0.2): one line, never a newline inside. */
import { isUtf8 } from 'node:buffer';
import { timestamp } from '#common/clock.ts';
import type { DeviceEvent } from '#common/contract/event.ts';

const types = { telemetry: 'fleetgate.telemetry', event: 'fleetgate.event' } as const;

let lastTimeMs = Number.NaN;
let lastTime = '';

/** Events of one batch share their milliseconds: the text is made once for each. */
function timeOf(timeMs: number): string {
  if (timeMs !== lastTimeMs) {
    lastTimeMs = timeMs;
    lastTime = timestamp(timeMs);
  }
  return lastTime;
}

/** The event as one JSON document. Ids of fleets and devices need no escaping: their alphabet has no quote. */
export function cloudEventJson(event: DeviceEvent): string {
  const { id, sequence, fleet, device, channel } = event;
  const subject = channel === '' ? '' : `,"subject":${JSON.stringify(channel)}`;
  return (
    `{"specversion":"1.0","id":"${id}","source":"/fleets/${fleet}/devices/${device}",` +
    `"type":"${types[event.class]}"${subject},"time":"${timeOf(event.timeMs)}",` +
    `"fleet":"${fleet}","device":"${device}","sequence":"${sequence}"${dataOf(event)}}`
  );
}

/** `datacontenttype` with `data` or `data_base64` (section 3.1 of the JSON format). */
function dataOf({ contentType, payload }: DeviceEvent): string {
  if (payload.length === 0)
    return contentType === '' ? '' : `,"datacontenttype":${JSON.stringify(contentType)}`;
  const isText = isUtf8(payload);
  const json = isText && mayBeJson(contentType, payload) ? jsonOf(payload) : undefined;
  if (json !== undefined)
    return `,"datacontenttype":${typeOr(contentType, 'application/json')},"data":${json}`;
  if (isText && (contentType === '' || contentType.startsWith('text/'))) {
    return `,"datacontenttype":${typeOr(contentType, 'text/plain')},"data":${JSON.stringify(payload.toString('utf8'))}`;
  }
  return `,"datacontenttype":${typeOr(contentType, 'application/octet-stream')},"data_base64":"${payload.toString('base64')}"`;
}

const typeOr = (contentType: string, byDefault: string): string =>
  contentType === '' ? `"${byDefault}"` : JSON.stringify(contentType);

const isJsonType = (contentType: string): boolean => /[/+]json(;|$)/i.test(contentType);

/** Devices of MQTT 3.1.1 cannot say what they send: then the first byte must look like JSON. */
function mayBeJson(contentType: string, payload: Buffer): boolean {
  if (contentType !== '') return isJsonType(contentType);
  return '{["-0123456789tfn'.includes(String.fromCharCode(payload[0]!));
}

/** The payload as it stands when it is JSON on one line, re-serialised when it is on several, undefined when it is none. */
function jsonOf(payload: Buffer): string | undefined {
  const text = payload.toString('utf8');
  try {
    const value: unknown = JSON.parse(text);
    return text.includes('\n') || text.includes('\r') ? JSON.stringify(value) : text;
  } catch {
    // Said to be JSON, or looking like it, and none: it travels as bytes or text.
    return undefined;
  }
}
