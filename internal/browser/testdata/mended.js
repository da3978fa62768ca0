// Balances of accounts. A payment without an amount counts as one of nothing.
export function onEvent(event, state) {
  const amount = event.data.amount ?? 0;
  state.fold(event.token(3), { balance: 0, events: 0 }, (account) => {
    account.balance += amount;
    account.events++;
  });
}
