/** Entry of the shipping thread: all containers whose output goes to another program. Started when the first one does. */
import { messageOf } from '#errdefs/errors.ts';
import type { ShipCommand, ShipEvent } from './protocol.ts';
import { Shipment } from './shipment.ts';

declare const self: Worker;

const emit = (event: ShipEvent) => self.postMessage(event);
interface Running {
  readonly shipment: Shipment;
  /** The target, to know another one by. */
  readonly key: string;
  readonly over: Promise<void>;
}

const shipments = new Map<string, Running>();

function open(command: Extract<ShipCommand, { op: 'open' }>): void {
  const key = JSON.stringify([command.file, command.remote]);
  const known = shipments.get(command.id);
  if (known?.key === key && known.shipment.resume()) return;
  // Another run, or other options: what the last one has not sent is the new one's to send.
  known?.shipment.stop();
  start(command, key, known?.over ?? Promise.resolve());
}

function start(command: Extract<ShipCommand, { op: 'open' }>, key: string, before: Promise<void>): void {
  const { id } = command;
  try {
    const shipment = new Shipment(command, emit);
    const over = before
      .then(() => shipment.run())
      .then(() => {
        if (shipments.get(id)?.shipment !== shipment) return;
        shipments.delete(id);
        emit({ type: 'done', id });
      });
    shipments.set(id, { shipment, key, over });
  } catch (error) {
    emit({ type: 'remote', id, error: messageOf(error) });
    emit({ type: 'done', id });
  }
}

async function obey(command: ShipCommand): Promise<void> {
  switch (command.op) {
    case 'open':
      return open(command);
    case 'end':
      return shipments.get(command.id)?.shipment.end();
    case 'release':
      await shipments.get(command.id)?.shipment.release();
      return emit({ type: 'released', id: command.id });
    case 'stop':
      for (const { shipment } of shipments.values()) shipment.stop();
      return emit({ type: 'stopped' });
  }
}

self.onmessage = ({ data }: MessageEvent<ShipCommand>) => void obey(data);
