/** What a topic name and a topic filter may look like (MQTT 5, section 4.7), and how large they may be here. */
import { Fault } from '#common/fault.ts';
import type { MqttSettings } from '../settings.ts';

const invalid = (why: string) => new Fault('topic-invalid', `The topic is not valid: ${why}.`);

type TopicLimits = Pick<MqttSettings, 'maxTopicLength' | 'maxTopicLevels'>;

/** A topic to publish to. Faults `topic-invalid`. */
export function checkTopicName(topic: string, limits: TopicLimits): void {
  checkSize(topic, limits);
  for (let at = 0; at < topic.length; at++) {
    const code = topic.charCodeAt(at);
    if (code === 0x2b || code === 0x23) throw invalid('it holds a wildcard'); // [MQTT-3.3.2-2]
  }
}

/** A filter to subscribe to. Faults `topic-invalid`. */
export function checkTopicFilter(filter: string, limits: TopicLimits): void {
  checkSize(filter, limits);
  checkShare(filter);
  const levels = filter.split('/');
  for (const [index, level] of levels.entries()) {
    if (level.length === 1) {
      if (level === '#' && index !== levels.length - 1) throw invalid('# is not its last level'); // [MQTT-4.7.1-1]
    } else if (level.includes('+') || level.includes('#')) {
      throw invalid('a wildcard does not stand alone in its level'); // [MQTT-4.7.1-1] [MQTT-4.7.1-2]
    }
  }
}

const sharePrefix = '$share/';

/** The group and the filter of a shared subscription (MQTT 5, section 4.8.2); null when it is none. */
export function shareOf(filter: string): { group: string; filter: string } | null {
  if (!filter.startsWith(sharePrefix)) return null;
  const end = filter.indexOf('/', sharePrefix.length);
  if (end < 0) return { group: filter.slice(sharePrefix.length), filter: '' };
  return { group: filter.slice(sharePrefix.length, end), filter: filter.slice(end + 1) };
}

function checkShare(filter: string): void {
  const share = shareOf(filter);
  if (share === null) return;
  if (share.group === '') throw invalid('the group of its share has no name'); // [MQTT-4.8.2-1]
  if (/[+#]/.test(share.group)) throw invalid('the name of its share holds a wildcard'); // [MQTT-4.8.2-2]
  if (share.filter === '') throw invalid('its share is of no filter'); // [MQTT-4.8.2-2]
}

function checkSize(topic: string, { maxTopicLength, maxTopicLevels }: TopicLimits): void {
  if (topic.length === 0) throw invalid('it is empty'); // [MQTT-4.7.3-1]
  if (Buffer.byteLength(topic) > maxTopicLength) throw invalid(`it is longer than ${maxTopicLength} bytes`);
  let levels = 1;
  for (let at = 0; at < topic.length; at++) if (topic.charCodeAt(at) === 0x2f) levels += 1;
  if (levels > maxTopicLevels) throw invalid(`it has more than ${maxTopicLevels} levels`);
}

/** Where a device sends its CSR to be renewed over its session. */
export const isRenewalTopic = (topic: string, device: string): boolean =>
  topic.endsWith('/renew') && topic === `devices/${device}/certificates/renew`;
