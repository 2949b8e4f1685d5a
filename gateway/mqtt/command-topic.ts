/** The topics of commands: where a device gets its own, where it answers, and that nobody else publishes there. */
import { isCommandId, replyStatusOf } from '#common/contract/command.ts';
import { filterCovers } from '#common/topic-match.ts';

/** What a reply answers. */
export interface ReplyTarget {
  readonly id: string;
  readonly status: number;
}

export const commandTopic = (device: string, id: string, name: string): string =>
  `devices/${device}/commands/${id}/${name}`;

/** Where MQTT 5 clients that know nothing of statuses answer (section 4.10): all went well. */
export const responseTopic = (device: string, id: string): string =>
  `devices/${device}/commands/${id}/reply/200`;

/** Of whatever device, replies included: only the registry sends commands, whatever a role grants. */
export const isCommandTopic = (topic: string): boolean => {
  const [root, , room] = topic.split('/', 3);
  return root === 'devices' && room === 'commands';
};

/** The command that is answered on this topic; null when it is no topic for replies of this device. */
export function replyTargetOf(topic: string, device: string): ReplyTarget | null {
  const own = `devices/${device}/commands/`;
  if (!topic.startsWith(own)) return null;
  const [id = '', word, code = '', ...more] = topic.slice(own.length).split('/');
  const status = replyStatusOf(code);
  return word === 'reply' && status !== null && more.length === 0 && isCommandId(id) ? { id, status } : null;
}

/** Whether a session with this filter hears of every command of the device. */
export const coversCommands = (filter: string, device: string): boolean =>
  filterCovers(filter.split('/'), ['devices', device, 'commands', '+', '+']);
