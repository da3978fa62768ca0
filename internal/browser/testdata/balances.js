// Balances of accounts. A payment without an amount fails.
export function onEvent(event, state) {
  if (typeof event.data.amount !== 'number') throw new Error('amount is missing');
  state.fold(event.token(3), { balance: 0, events: 0 }, (account) => {
    account.balance += event.data.amount;
    account.events++;
  });
}
