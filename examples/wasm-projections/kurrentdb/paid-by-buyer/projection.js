// What each buyer has paid, whatever the orders; guests, who have no name, are left out.
fromCategory("order")
  .partitionBy(function (event) {
    return event.data.buyer;
  })
  .when({
    $init: () => ({ paid: 0, orders: [] }),
    OrderPaid(state, event) {
      state.paid += event.data.amount;
      state.orders.push(event.streamId);
    },
  });
