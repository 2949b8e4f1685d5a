/** `fleetgate commands`: sent to devices, waited for, looked up, withdrawn. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { Fault } from '#common/fault.ts';
import { allItems, asked, type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, table } from './output.ts';

interface Summary {
  commandId: string;
  device: string;
  name: string;
  state: string;
  sender: string;
  createdAt: string;
  expiresAt: string;
  attempts: number;
  deliveredAt: string | null;
  endedAt: string | null;
  replyStatus: number | null;
}

interface Payload {
  payload?: unknown;
  payloadBase64?: string;
}

type Details = Summary & Payload & { reply: (Payload & { status: number; contentType: string }) | null };

interface SendFlags extends NounFlags {
  payload?: string;
  payloadFile?: string;
  contentType?: string;
  ttl?: string;
  wait?: string;
}

const pathOf = (device: string, id?: string): string =>
  `/v1/devices/${encodeURIComponent(device)}/commands${id === undefined ? '' : `/${encodeURIComponent(id)}`}`;

const textOf = ({ payload, payloadBase64 }: Payload): string =>
  payloadBase64 !== undefined
    ? `base64:${payloadBase64}`
    : typeof payload === 'string'
      ? payload
      : JSON.stringify(payload);

/** `--payload` is JSON when it reads as such, else a text; a file is sent byte by byte. */
function payloadIn({ payload, payloadFile, contentType }: SendFlags): object {
  if (payload !== undefined && payloadFile !== undefined)
    throw new Fault('malformed', 'Give --payload or --payload-file, not both.');
  if (payloadFile !== undefined)
    return { payloadBase64: readFile(payloadFile).toString('base64'), contentType };
  if (payload === undefined) return { contentType };
  try {
    return { payload: contentType === undefined ? JSON.parse(payload) : payload, contentType };
  } catch {
    return { payload, contentType };
  }
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new Fault('malformed', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

export function commandCommands(program: Command): void {
  const commands = program.command('commands').description('commands to devices');
  verb(
    commands.command('send <device> <name>'),
    `commands send pump-1 open --payload '{"valve":7}' --ttl 10m --wait 30s`,
  )
    .description('send a command; it is kept for a device that is away')
    .option('--payload <text>', 'JSON, or any text')
    .option('--payload-file <file>', 'the bytes of a file')
    .option('--content-type <type>', 'of the payload, when it is not to be guessed')
    .option('--ttl <duration>', 'how long it waits for the device')
    .option('--wait <duration>', "wait for the device's reply")
    .action((device: string, name: string, flags: SendFlags) =>
      withRegistry(flags, async (api, output) => {
        const { ttl, wait } = flags;
        const body = { name, ...asked(() => payloadIn(flags)), ttl, wait };
        const answer = await api.call<Details>('POST', pathOf(device), body);
        output.answer(answer, () =>
          answer.reply
            ? [`${device} has answered ${answer.reply.status}.`, textOf(answer.reply)]
            : [answer.commandId],
        );
      }),
    );
  verb(commands.command('list <device>'), 'commands list pump-1 --state queued')
    .description('commands of a device, newest first')
    .option('--state <state>', 'queued, delivered, replied, expired or withdrawn')
    .option('--limit <n>', 'at most so many', '1000')
    .action((device: string, flags: NounFlags & { state?: string; limit: string }) =>
      withRegistry(flags, async (api, output) => {
        const { state } = flags;
        const items = await allItems<Summary>(api, pathOf(device), { state }, Number(flags.limit));
        output.answer(items, () =>
          table(
            ['COMMAND', 'NAME', 'STATE', 'SENT', 'UNTIL', 'ATTEMPTS', 'REPLY'],
            items.map((each) => [
              each.commandId,
              each.name,
              each.state,
              each.createdAt,
              each.expiresAt,
              each.attempts,
              each.replyStatus,
            ]),
          ),
        );
      }),
    );
  verb(commands.command('show <device> <command>'), 'commands show pump-1 3f0c…')
    .description('one command, and its reply')
    .action((device: string, id: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const found = await api.call<Details>('GET', pathOf(device, id));
        output.answer(found, () =>
          facts([
            ['name', found.name],
            ['state', found.state],
            ['sent', `${found.createdAt} by ${found.sender}`],
            ['until', found.expiresAt],
            ['attempts', found.attempts],
            ['delivered', found.deliveredAt],
            ['payload', textOf(found)],
            ['reply', found.reply && `${found.reply.status} ${textOf(found.reply)}`],
          ]),
        );
      }),
    );
  verb(commands.command('withdraw <device> <command>'), 'commands withdraw pump-1 3f0c…')
    .description('take back a command that is not delivered')
    .action((device: string, id: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const taken = await api.call<Summary>('DELETE', pathOf(device, id));
        output.answer(taken, () => [
          taken.attempts === 0
            ? `The command ${id} is withdrawn; the device has not seen it.`
            : `The command ${id} is withdrawn; it was on its way, and may have arrived.`,
        ]);
      }),
    );
}
