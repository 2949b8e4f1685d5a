/** Assembles what the registry does about commands: a noun for each of sending, delivering, answering, ending and telling. */
import { CommandDelivery } from '../authority/command-delivery.ts';
import { CommandExpiry } from '../authority/command-expiry.ts';
import { CommandOutcomes } from '../authority/command-outcomes.ts';
import { CommandReplies } from '../authority/command-replies.ts';
import { CommandWaits } from '../authority/command-waits.ts';
import { Commands, type CommandsParts } from '../authority/commands.ts';
import type { RegistryDoorSettings } from '../settings.ts';

export function openCommands(
  parts: Omit<CommandsParts, 'outcomes' | 'waits' | 'limits'> & { limits: RegistryDoorSettings },
) {
  const { limits, clock } = parts;
  const commandWaits = new CommandWaits(clock, limits.maxCommandWaits);
  const commandOutcomes = new CommandOutcomes({ ...parts, waits: commandWaits });
  const all = { ...parts, outcomes: commandOutcomes };
  return {
    commands: new Commands({ ...all, waits: commandWaits }),
    commandOutcomes,
    commandDelivery: new CommandDelivery(all),
    commandReplies: new CommandReplies({ ...all, maxBytes: limits.maxCommandSize }),
    commandExpiry: new CommandExpiry({ ...all, retentionMs: limits.commandRetention }),
  };
}
