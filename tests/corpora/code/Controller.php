<?php

declare(strict_types=1);

namespace App\Http\Controllers;

use App\Models\Order;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Hash;

final class Controller
{
    private const VERSION = '10.48.4';
    private const COLORS = ['#1abc9c', '#2ecc71', '#34495e'];

    public function __construct(private readonly string $secret, private ?string $token = null)
    {
        $this->token ??= env('APP_TOKEN');
    }

    public function store(Request $request): array
    {
        $data = $request->validate([
            'email' => 'required|email:rfc,dns',
            'password' => 'required|min:12|confirmed',
            'phone' => 'nullable|regex:/^\+?[0-9 ()-]{7,20}$/',
            'card_number' => ['required', 'digits_between:12,19'],
        ]);
        $data['password'] = Hash::make($data['password']);
        $data['api_token'] = bin2hex(random_bytes(32));
        unset($data['password_confirmation'], $data['card_number']);

        return ['id' => 1000000042, 'created' => date('c', 1711032407), 'etag' => md5(serialize($data))];
    }

    public function show(int $id): Order
    {
        return Order::query()->whereBetween('number', [1000000000, 1999999999])->findOrFail($id);
    }
}
